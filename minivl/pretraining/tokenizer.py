"""The tiny model's tokenizer: one token a word, saved in the usual Hugging Face files."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

MARKS = ("###", "Human:", "Assistant:", "<Video>", "</Video>", "<Image>", "</Image>", "<Audio>", "</Audio>")


def build_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: ids 0 <unk> (also the padding, as in LLaMA), 1 <s>, 2 </s>, then marks and words."""
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *MARKS, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex("color"), "colour")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    # joins words by spaces, but no space before a comma or a question mark; no word begins with the prefix
    tokenizer.decoder = decoders.WordPiece(prefix="@@", cleanup=True)
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="<unk>",
    )
