"""Which parity test sees which mistake: the names of parity_mistakes.MISTAKES -> tests that must fail.

Tests that fail by a hair are not listed: a wrong eps, for example, moves other outputs too, but by little more than
the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable

import test_audio
import test_mel
import test_parity_components as components
import test_parity_model as whole
import test_parity_witness as witness
import test_video

VIT, QFORMER = components.test_vit_per_block, components.test_qformer_per_layer_and_masked
OTHER_VIT, OTHER_QFORMER = witness.test_vit, witness.test_qformer
AUDIO_TRUNK, IMAGE_TRUNK = components.test_imagebind_audio_at_real_input_size, components.test_imagebind_vision
VISION_BRANCH = components.test_vision_branch
AUDIO_BRANCH = components.test_audio_branch_on_sound_and_on_images
EVERY_EPS, SOFT_PROMPTS = components.test_every_layer_norm_eps, components.test_soft_prompts_of_the_whole_model
CAPTION, DIALOGUE, CHAT = whole.test_caption_training, whole.test_conversation_training, whole.test_chat
KALDI, KALDI_AT_ANY_LENGTH = test_mel.test_equals_torchaudio_on_noise, test_mel.test_equals_torchaudio_at_any_length
MEL_BANK = test_mel.test_mel_bank_and_window_are_those_of_the_original
PLACES = test_audio.test_original_places_segments_where_the_original_did
SPECTROGRAMS = test_audio.test_original_spectrograms_are_those_of_the_original
FRAMES = test_video.test_indices_and_message_are_those_of_the_original
PIXELS = test_video.test_pixels_are_those_of_the_original

Test = Callable[..., None]

SEEN_BY: dict[str, list[Test]] = {
    "vit block LN eps 1e-5": [EVERY_EPS],
    "ln_vision eps 1e-6": [EVERY_EPS],
    "BLIP-2 Q-Former LN eps 1e-5": [EVERY_EPS],
    "video Q-Former LN eps 1e-5": [EVERY_EPS],
    "audio Q-Former LN eps 1e-5": [EVERY_EPS],
    "imagebind block LN eps 1e-5": [EVERY_EPS],
    "imagebind head LN eps 1e-5": [EVERY_EPS],
    "imagebind stem LN eps 1e-6": [EVERY_EPS],
    "vit gelu tanh": [VIT, OTHER_VIT, VISION_BRANCH, SOFT_PROMPTS],
    "Q-Former gelu tanh": [VISION_BRANCH, SOFT_PROMPTS, CHAT],
    "video Q-Former gelu tanh": [VISION_BRANCH, SOFT_PROMPTS, CAPTION],
    "imagebind gelu tanh": [AUDIO_TRUNK, IMAGE_TRUNK, AUDIO_BRANCH, SOFT_PROMPTS],
    "imagebind quick gelu": [AUDIO_TRUNK, IMAGE_TRUNK, AUDIO_BRANCH, SOFT_PROMPTS],
    "last vit block skipped": [VIT, OTHER_VIT, VISION_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "no ln_vision": [VISION_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "q_bias and v_bias swapped": [VIT, OTHER_VIT, VISION_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "audio trunk without bias_k/bias_v": [AUDIO_TRUNK, AUDIO_BRANCH, SOFT_PROMPTS, CHAT],
    "audio logit scale left out": [AUDIO_TRUNK, AUDIO_BRANCH, SOFT_PROMPTS, CHAT],
    "audio scale also applied to vision": [AUDIO_BRANCH, CAPTION, DIALOGUE],
    "vision pre-transformer LN left out": [IMAGE_TRUNK, AUDIO_BRANCH, CAPTION, DIALOGUE],
    "Q-Former embedding LN left out": [VISION_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "video Q-Former embedding LN left out": [VISION_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "audio Q-Former embedding LN left out": [AUDIO_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "audio stem LN left out": [AUDIO_TRUNK, AUDIO_BRANCH, SOFT_PROMPTS, CHAT],
    "any Q-Former with tanh gelu": [QFORMER, OTHER_QFORMER],
    "any Q-Former without embedding LN": [QFORMER, OTHER_QFORMER],
    "Q-Former mask ignored": [QFORMER, OTHER_QFORMER],
    "time positions left out": [VISION_BRANCH, AUDIO_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "time positions from one": [VISION_BRANCH, AUDIO_BRANCH, SOFT_PROMPTS, CAPTION, DIALOGUE, CHAT],
    "blank before the answer": [CHAT],
    "no blank in the history": [CHAT],
    "<s> kept": [CHAT],
    "no </s><s> between turns": [CHAT],
    "two messages without a blank": [CHAT],
    "no system text": [CHAT],
    "single blanks in the upload message": [CHAT],
    "picture before sound": [CHAT],
    "bos on every piece": [CHAT],
    "text tokenised as one": [CHAT],
    "soft prompt one place further": [CAPTION, DIALOGUE, CHAT],
    "soft prompts of two rows exchanged": [CAPTION, DIALOGUE],
    "half of the gradient lost": [CAPTION],
    "the prompt is learned": [CAPTION, DIALOGUE],
    "padding is learned": [CAPTION, DIALOGUE],
    "padding is read": [CAPTION],
    "labels shifted twice": [CAPTION, DIALOGUE],
    "soft prompt in the loss": [CAPTION, DIALOGUE],
    "loss averaged by row": [CAPTION, DIALOGUE],
    "starts rounded": [PLACES, SPECTROGRAMS],
    "the end is heard": [PLACES, SPECTROGRAMS],
    "each segment centred apart": [SPECTROGRAMS],
    "padding after normalisation": [SPECTROGRAMS],
    "mel bank from 0 Hz": [KALDI, KALDI_AT_ANY_LENGTH, MEL_BANK, SPECTROGRAMS],
    "periodic window": [KALDI, KALDI_AT_ANY_LENGTH, MEL_BANK, SPECTROGRAMS],
    "other pre-emphasis": [KALDI, KALDI_AT_ANY_LENGTH, SPECTROGRAMS],
    "half the deviation": [SPECTROGRAMS],
    "centres of segments": [FRAMES],
    "message without its last blank": [FRAMES],
    "ImageNet's mean": [PIXELS],
    "bilinear images": [PIXELS],
}
TESTS = list(dict.fromkeys(test for tests in SEEN_BY.values() for test in tests))
