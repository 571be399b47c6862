"""The original's published weights in one folder: `minivl download 7b --to DIR`.

    hub repository:  VL_*.pth, AL_*.pth (the branches), imagebind_huge.pth, llama-2-*-chat-hf/
    LAVIS server:    eva_vit_g.pth, blip2_pretrained_flant5xxl.pth (the image encoder of BLIP-2)

huggingface_hub says what is in a repository, how large, and where; the bytes come through `resumable_download`. The
hub's own snapshot_download fetches up to eight files at a time, and its current versions throw away every one that is
unfinished when it stops: of a language model in two files, all.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

from minivl.errors import InputError, WeightsError
from minivl.published.resumable_download import (
    AGAIN,
    TIMEOUT,
    download_file,
    fetch,
    part_of,
    reason,
    remote_size,
    size_of,
    writable_folder,
)

__all__ = ["BLIP2_URL", "EVA_VIT_URL", "REPOSITORIES", "download_file", "download_official"]

REPOSITORIES = {"7b": "DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned", "13b": "DAMO-NLP-SG/Video-LLaMA-2-13B-Finetuned"}
LAVIS = "https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/BLIP2"
EVA_VIT_URL = f"{LAVIS}/eva_vit_g.pth"
BLIP2_URL = f"{LAVIS}/blip2_pretrained_flant5xxl.pth"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Published:
    """A file of a repository."""

    size: int  # bytes
    sha256: str | None  # the hub knows it of large files


def download_official(size_or_repository: str, folder: Path, files: tuple[str, ...] = ()) -> Path:
    """Fetch the weights of "7b", "13b" or a repository "owner/name", with BLIP-2's two files, into `folder`.

    files: patterns such as "VL_*.pth" choose among all these files; without them everything that we read comes.
    What an earlier run has finished is not fetched again. Returns `folder`. Raises InputError for a name that cannot
    be a repository's and for patterns that nothing matches, WeightsError for all that the reader has to put right:
    access, network, space.
    """
    repository = REPOSITORIES.get(size_or_repository, size_or_repository)
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository):
        raise InputError(f"{repository!r} is neither a size nor a repository: give 7b, 13b or owner/name")
    folder = writable_folder(Path(folder).expanduser())
    commit, published = list_repository(repository)
    urls = {url.rsplit("/", 1)[-1]: url for url in (EVA_VIT_URL, BLIP2_URL)}
    names = sorted({*published, *urls})
    chosen = choose(names, files)
    if not chosen:
        raise InputError(f"{repository} has nothing like {' '.join(files)}: its files are {', '.join(names)}")
    wanted = {n: Published(remote_size(urls[n], folder / n), None) if n in urls else published[n] for n in chosen}
    missing = {name: file for name, file in wanted.items() if size_of(folder / name) != file.size}
    check_space(folder, missing)
    for name, file in missing.items():
        if name in urls:
            fetch(urls[name], folder / name, file.size, urls[name])
        else:
            url, headers = locate(repository, commit, name)
            fetch(url, folder / name, file.size, f"{repository}/{name}", headers, file.sha256)
    return folder


def list_repository(repository: str) -> tuple[str | None, dict[str, Published]]:
    """The current commit of a repository on the Hugging Face hub, and its files by name. Raises WeightsError."""
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise WeightsError('huggingface_hub is not installed: pip install "minivl[official]"') from error
    info = _ask(repository, lambda: HfApi().model_info(repository, timeout=TIMEOUT, files_metadata=True))
    listed = [file for file in info.siblings or () if not file.rfilename.startswith(".git")]
    large = {file.rfilename: Published(file.lfs.size, file.lfs.sha256) for file in listed if file.lfs}
    return info.sha, {file.rfilename: Published(file.size or 0, None) for file in listed} | large


def choose(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    """The names that match a pattern; without patterns all but pickles that lie beside the same as safetensors."""
    if patterns:
        return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    safe = {PurePosixPath(name).parent for name in names if name.endswith(".safetensors")}
    return [name for name in names if not (name.endswith(".bin") and PurePosixPath(name).parent in safe)]


def check_space(folder: Path, missing: dict[str, Published]) -> None:
    """Raise WeightsError, before anything is fetched, if what is still to come does not fit on the disk."""
    started = {name: size_of(part_of(folder / name)) or 0 for name in missing}
    needed = sum(max(file.size - started[name], 0) for name, file in missing.items())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"{folder} has {free / 1e9:.2f} GB free, but {needed / 1e9:.2f} GB are still to come: "
            "free some space, or choose a folder on another disk"
        )


def locate(repository: str, commit: str | None, name: str) -> tuple[str, dict[str, str]]:
    """Where the hub keeps a file for the next hour, and the headers to ask for it with. Raises WeightsError."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repository, name, revision=commit)
    location = _ask(repository, lambda: get_hf_file_metadata(url).location)
    # the reader's token is for the hub alone; a storage server gets a signed link, and would refuse both
    return location, build_hf_headers() if urlsplit(location).netloc == urlsplit(url).netloc else {}


def _ask(repository: str, question: Callable[[], Answer]) -> Answer:
    """The hub's answer, or one sentence why there is none."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repository}"
    try:
        return question()
    except errors.GatedRepoError as error:
        raise WeightsError(f"{page} is gated: accept its licence there, then `hf auth login`, then {AGAIN}") from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(f"{page} does not exist or is private: check the name, or `hf auth login`") from error
    except errors.HFValidationError as error:
        raise InputError(f"{repository!r} cannot be a repository's name: give 7b, 13b or owner/name") from error
    except errors.OfflineModeIsEnabled as error:
        raise WeightsError(f"HF_HUB_OFFLINE is set, so {page} may not be asked: unset it, then {AGAIN}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            way = "`hf auth login` with a token that may read it"
            raise WeightsError(f"{page} refuses access ({status}): {way}, then {AGAIN}") from error
        raise WeightsError(f"{page} answered with error {status}: wait a little, then {AGAIN}") from error
    except (errors.HTTPError, OSError) as error:  # HTTPError: of the HTTP library that this version of the hub uses
        raise WeightsError(f"{page} cannot be reached ({reason(error)}): check the network, then {AGAIN}") from error
