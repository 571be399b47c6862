"""`minivl download`: from a server on this machine that is also a Hugging Face hub, and that fails in every way."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from minivl.errors import InputError, WeightsError
from minivl.published.download import download_file, download_official

WEIGHTS = bytes(range(256)) * 4  # a small large file
REPOSITORY = {
    ".gitattributes": b"*.pth filter=lfs",
    "README.md": b"The weights of a tiny Video-LLaMA.",
    "VL_LLaMA_2_7B_Finetuned.pth": WEIGHTS,
    "llama-2-7b-chat-hf/config.json": b"{}",
    "llama-2-7b-chat-hf/model.safetensors": WEIGHTS[::-1],
    "llama-2-7b-chat-hf/pytorch_model.bin": b"the same weights again",
}
BLIP2 = {"eva_vit_g.pth": b"vit" * 100, "blip2_pretrained_flant5xxl.pth": b"qformer" * 100}
READ = {*REPOSITORY, *BLIP2} - {".gitattributes", "llama-2-7b-chat-hf/pytorch_model.bin"}
TOKEN = "hf_of_a_student"
COMMIT = "c" * 40
Asked = namedtuple("Asked", "method host path range token")


class Web:
    """What the server has, how it fails, and what it was asked for."""

    def __init__(self, port: int) -> None:
        self.here, self.elsewhere = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        self.asked: list[Asked] = []
        self.cut_after: int | None = None  # bytes of an answer, then the connection ends
        self.announced: int | None = None  # a wrong Content-Length in answers to HEAD
        self.ranges = True  # answers "Range:"
        self.slow = 0.0  # seconds before every answer
        self.fails: dict[str, tuple[int, dict[str, str]]] = {}  # start of a path -> status and headers
        self.sha256: str | None = None  # that the hub lists

    def url(self, name: str) -> str:
        return f"{self.here}/files/{name}"

    def fetched(self) -> list[tuple[str, str | None]]:
        """(name, Range) of every file that was sent, not only asked about."""
        return [
            (one.path.rsplit("/", 1)[-1], one.range) for one in self.asked if one.method == "GET" and not is_api(one)
        ]


def is_api(one: Asked) -> bool:
    return one.path.startswith("/api/")


class Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *values: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        path = urlsplit(self.path).path
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        web.asked.append(Asked(self.command, self.headers["Host"], path, self.headers["Range"], token))
        time.sleep(web.slow)
        for start, (status, headers) in web.fails.items():
            if path.startswith(start):
                return self.answer(status, headers)
        if path == "/api/models/a-group/a-model":
            return self.answer(200, {"Content-Type": "application/json"}, describe_repository(web.sha256))
        of_commit = f"/a-group/a-model/resolve/{COMMIT}/"
        name = path.removeprefix(of_commit) if path.startswith(of_commit) else path.partition("/files/")[2]
        if path.startswith(of_commit) and name.endswith((".pth", ".safetensors", ".bin")):
            return self.answer(302, {"Location": f"{web.elsewhere}/storage/files/{name}", "ETag": '"1"'})
        contents = {**BLIP2, **REPOSITORY}.get(name)
        if contents is None:
            return self.answer(404, {})
        return self.answer(200, {"ETag": '"1"'}, contents)

    def answer(self, status: int, headers: dict[str, str], contents: bytes = b"") -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        asked = self.headers["Range"]
        if asked and web.ranges and status == 200:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            headers = {**headers, "Content-Range": f"bytes {start}-{len(contents) - 1}/{len(contents)}"}
            status, contents = 206, contents[start:]
        length = web.announced if self.command == "HEAD" and web.announced else len(contents)
        self.send_response(status)
        for key, value in {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            **headers,
        }.items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(contents if is_api(web.asked[-1]) else contents[: web.cut_after])


def describe_repository(sha256: str | None) -> bytes:
    """What the hub's API says of a repository."""
    siblings = []
    for name, contents in REPOSITORY.items():
        one: dict = {"rfilename": name, "size": len(contents)}
        if name.endswith((".pth", ".safetensors", ".bin")):
            right = hashlib.sha256(contents).hexdigest()
            one["lfs"] = {"size": len(contents), "sha256": sha256 or right, "pointerSize": 130}
        siblings.append(one)
    return json.dumps({"id": "a-group/a-model", "sha": COMMIT, "siblings": siblings}).encode()


@pytest.fixture(autouse=True)
def _the_hub_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment forbids it, as in CI: the hub of these tests is a server of their own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.web = web = Web(server.server_port)  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", web.here)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", web.here + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("minivl.published.download.EVA_VIT_URL", web.url("eva_vit_g.pth"))
    monkeypatch.setattr("minivl.published.download.BLIP2_URL", web.url("blip2_pretrained_flant5xxl.pth"))
    yield web
    server.shutdown()
    server.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "eva_vit_g.pth"


def part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def sentence(action: Callable[[], object], kind: type[Exception] = WeightsError) -> str:
    """The message of the error that the action ends with: one line, and not a page."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


# ---- one file


VIT = BLIP2["eva_vit_g.pth"]  # 300 bytes


def test_a_file_comes_whole_with_a_progress_bar(web: Web, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert download_file(web.url("eva_vit_g.pth"), file) == file
    assert file.read_bytes() == VIT
    assert list(file.parent.iterdir()) == [file]
    bar = capsys.readouterr().err
    assert "eva_vit_g.pth: 100%" in bar and "300/300" in bar and "B/s" in bar


def test_only_the_missing_bytes_are_asked_for(web: Web, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part(file).write_bytes(VIT[:120])
    download_file(web.url("eva_vit_g.pth"), file)
    assert file.read_bytes() == VIT
    assert web.fetched() == [("eva_vit_g.pth", "bytes=120-")]
    assert "eva_vit_g.pth:  40%" in capsys.readouterr().err  # the bar goes on too


def test_after_a_cut_the_next_run_goes_on(web: Web, file: Path) -> None:
    web.cut_after = 120
    message = sentence(lambda: download_file(web.url("eva_vit_g.pth"), file))
    assert "cut off after 120 of 300 bytes, which are kept" in message and "run the same command again" in message
    assert part(file).read_bytes() == VIT[:120] and not file.exists()
    sentence(lambda: download_file(web.url("eva_vit_g.pth"), file))  # and after a second cut, from there
    web.cut_after = None
    download_file(web.url("eva_vit_g.pth"), file)
    assert file.read_bytes() == VIT
    assert [asked for _, asked in web.fetched()] == [None, "bytes=120-", "bytes=240-"]


def test_a_server_that_cannot_go_on_starts_anew(web: Web, file: Path) -> None:
    web.ranges = False
    part(file).write_bytes(b"x" * 120)
    download_file(web.url("eva_vit_g.pth"), file)
    assert file.read_bytes() == VIT


def test_a_part_longer_than_the_file_is_thrown_away(web: Web, file: Path) -> None:
    part(file).write_bytes(b"x" * 301)
    download_file(web.url("eva_vit_g.pth"), file)
    assert file.read_bytes() == VIT


def test_a_part_that_is_whole_needs_no_more_than_its_name(web: Web, file: Path) -> None:
    part(file).write_bytes(VIT)
    download_file(web.url("eva_vit_g.pth"), file)
    assert file.read_bytes() == VIT and web.fetched() == []


def test_a_finished_file_is_not_fetched_again(web: Web, file: Path) -> None:
    file.write_bytes(VIT)
    download_file(web.url("eva_vit_g.pth"), file)
    assert web.fetched() == []
    web.fails["/files"] = (503, {})  # nor if the server does not answer
    assert download_file(web.url("eva_vit_g.pth"), file).read_bytes() == VIT


def test_a_file_of_another_length_is_replaced(web: Web, file: Path) -> None:
    file.write_bytes(b"an old version")
    download_file(web.url("eva_vit_g.pth"), file)
    assert file.read_bytes() == VIT


def test_more_bytes_than_announced_are_no_file(web: Web, file: Path) -> None:
    web.announced = 290
    message = sentence(lambda: download_file(web.url("eva_vit_g.pth"), file))
    assert "is not the file that was announced" in message and web.url("eva_vit_g.pth") in message
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (404, {}, "does not exist (404): find eva_vit_g.pth elsewhere"),
        (403, {}, "refuses access (403): fetch it with a browser that is logged in"),
        (503, {}, "answered with error 503: wait a little, then run the same command again"),
        (200, {"Content-Type": "text/html"}, "is a web page, not a file: log in to this network"),
        (200, {"Content-Length": ""}, "does not tell its length: fetch it with a browser"),
    ],
)
def test_what_a_server_may_answer(web: Web, file: Path, status: int, headers: dict[str, str], says: str) -> None:
    web.fails["/files"] = (status, headers)
    message = sentence(lambda: download_file(web.url("eva_vit_g.pth"), file))
    assert says in message and web.url("eva_vit_g.pth") in message
    assert list(file.parent.iterdir()) == []


def test_a_silent_server(web: Web, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minivl.published.resumable_download.TIMEOUT", 0.1)
    web.slow = 0.5
    message = sentence(lambda: download_file(web.url("eva_vit_g.pth"), file))
    assert "timed out" in message and "it goes on where it stopped" in message


def test_no_network(file: Path) -> None:
    message = sentence(lambda: download_file("http://127.0.0.1:9/eva_vit_g.pth", file))
    assert "the connection to http://127.0.0.1:9/eva_vit_g.pth failed" in message and "it goes on" in message


@pytest.mark.parametrize("url", ["ftp://example.org/a.pth", "file:///etc/hosts", "eva_vit_g.pth"])
def test_what_is_no_address_on_the_web(url: str, file: Path) -> None:
    assert "give one that starts with https://" in sentence(lambda: download_file(url, file), InputError)


def test_places_that_cannot_be_written(web: Web, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = web.url("eva_vit_g.pth")
    file.mkdir()
    assert f"{file} is a folder" in sentence(lambda: download_file(url, file))
    taken = file.parent / "taken"
    taken.write_bytes(b"")
    assert f"{taken} is a file: give a folder" in sentence(lambda: download_file(url, taken / "a.pth"))
    assert "cannot be written to" in sentence(lambda: download_file(url, taken / "b" / "a.pth"))
    (file.parent / "b.pth.part").mkdir()
    assert "b.pth.part cannot be written (Is a directory)" in sentence(
        lambda: download_file(url, file.parent / "b.pth")
    )

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    message = sentence(lambda: download_official("7b", file.parent))
    assert message == f"{file.parent} cannot be written to (Permission denied): choose another folder"


def test_a_disk_that_fills_up(web: Web, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.BytesIO):
        def write(self, block: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *arguments: FullDisk())
    message = sentence(lambda: download_file(web.url("eva_vit_g.pth"), file))
    assert f"the disk is full before {file} is finished" in message and "it goes on where it stopped" in message


# ---- the whole of it


def found(folder: Path) -> dict[str, bytes]:
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_all_that_we_read_comes_into_one_folder_once(web: Web, tmp_path: Path) -> None:
    folder = tmp_path / "official" / "7b"
    assert download_official("a-group/a-model", folder) == folder
    files = {**REPOSITORY, **BLIP2}
    assert found(folder) == {name: files[name] for name in READ}  # no .git files, no weights twice
    web.asked.clear()
    download_official("a-group/a-model", folder)
    assert web.fetched() == []


def test_sizes_have_names(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minivl.published.download.REPOSITORIES", {"7b": "a-group/a-model"})
    download_official("7b", tmp_path, ("README.md",))
    assert set(found(tmp_path)) == {"README.md"}


def test_an_interrupted_download_goes_on_within_a_file(web: Web, tmp_path: Path) -> None:
    web.cut_after = 600
    message = sentence(lambda: download_official("a-group/a-model", tmp_path))
    assert "a-group/a-model/VL_LLaMA_2_7B_Finetuned.pth was cut off after 600 of 1,024 bytes" in message
    web.cut_after = None
    web.asked.clear()
    download_official("a-group/a-model", tmp_path)
    assert set(found(tmp_path)) == READ
    assert ("VL_LLaMA_2_7B_Finetuned.pth", "bytes=600-") in web.fetched()
    assert "README.md" not in dict(web.fetched())


def test_the_token_is_for_the_hub_alone(web: Web, tmp_path: Path) -> None:
    download_official("a-group/a-model", tmp_path)
    hub = [one for one in web.asked if is_api(one) or "/resolve/" in one.path]
    assert hub and {one.token for one in hub} == {TOKEN}
    elsewhere = [one for one in web.asked if one.path.startswith(("/storage/", "/files/"))]
    assert len(elsewhere) >= 4 and {one.token for one in elsewhere} == {""}


def test_bytes_that_are_not_those_of_the_repository_are_not_kept(web: Web, tmp_path: Path) -> None:
    web.sha256 = "0" * 64
    message = sentence(lambda: download_official("a-group/a-model", tmp_path, ("VL_*",)))
    assert "a-group/a-model/VL_LLaMA_2_7B_Finetuned.pth is not the file that was announced" in message
    assert found(tmp_path) == {}


def test_patterns_choose_among_all_files(web: Web, tmp_path: Path) -> None:
    download_official("a-group/a-model", tmp_path, ("VL_*.pth", "eva*", "*.bin"))
    assert set(found(tmp_path)) == {
        "VL_LLaMA_2_7B_Finetuned.pth", "eva_vit_g.pth", "llama-2-7b-chat-hf/pytorch_model.bin"
    }  # fmt: skip
    message = sentence(lambda: download_official("a-group/a-model", tmp_path, ("vicuna*",)), InputError)
    assert message.startswith("a-group/a-model has nothing like vicuna*: its files are README.md, VL_LLaMA_2")


def test_blip2_may_be_there_while_its_server_is_not(web: Web, tmp_path: Path) -> None:
    for name, contents in BLIP2.items():
        (tmp_path / name).write_bytes(contents)
    web.fails["/files"] = (503, {})
    download_official("a-group/a-model", tmp_path)
    assert set(found(tmp_path)) == READ


@pytest.mark.parametrize(("free", "fits"), [(2_000, False), (2_059, False), (2_060, True)])
def test_space_is_counted_before_anything_is_fetched(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9 - free, free))
    (tmp_path / "VL_LLaMA_2_7B_Finetuned.pth.part").write_bytes(WEIGHTS[:24])
    wanted = ("VL_*", "*.safetensors", "*.json", "README.md")  # 1,000 bytes are missing, then 1,024, 2 and 34
    if fits:
        download_official("a-group/a-model", tmp_path, wanted)
        assert len(found(tmp_path)) == 4
    else:
        assert "free some space" in sentence(lambda: download_official("a-group/a-model", tmp_path, wanted))
        assert web.fetched() == []


def test_missing_space_is_told_in_gigabytes(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(3_456_000_000))
    web.announced = 20_000_000_000
    message = sentence(lambda: download_official("a-group/a-model", tmp_path, ("eva*",)))
    assert message.startswith(f"{tmp_path} has 3.46 GB free, but 20.00 GB are still to come")


# ---- what the hub may say


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (401, {"X-Error-Code": "GatedRepo"}, "is gated: accept its licence there, then `hf auth login`"),
        (403, {"X-Error-Code": "GatedRepo"}, "is gated: accept its licence there, then `hf auth login`"),
        (404, {"X-Error-Code": "RepoNotFound"}, "does not exist or is private: check the name, or `hf auth login`"),
        (
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            "refuses access (401): `hf auth login`",
        ),
        (403, {}, "refuses access (403): `hf auth login` with a token that may read it"),
        (500, {}, "answered with error 500: wait a little, then run the same command again"),
    ],
)
@pytest.mark.parametrize("at", ["/api/models", "/a-group"], ids=["when listing", "at a file"])
def test_what_the_hub_may_answer(
    web: Web, tmp_path: Path, status: int, headers: dict[str, str], says: str, at: str
) -> None:
    web.fails[at] = (status, headers)
    message = sentence(lambda: download_official("a-group/a-model", tmp_path))
    assert says in message and "https://huggingface.co/a-group/a-model" in message


def test_no_hub(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    message = sentence(lambda: download_official("7b", tmp_path))
    assert "https://huggingface.co/DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned cannot be reached" in message
    assert "run the same command again, it goes on where it stopped" in message


def test_a_hub_that_is_switched_off(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in sentence(lambda: download_official("7b", tmp_path))
    assert web.asked == []


def test_without_huggingface_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert 'pip install "minivl[official]"' in sentence(lambda: download_official("7b", tmp_path))


@pytest.mark.parametrize("name", ["8b", "", "a/b/c", "../weights", "https://huggingface.co/a/b", "a--b/c", "a/b.git"])
def test_what_is_neither_a_size_nor_a_repository(name: str, tmp_path: Path) -> None:
    assert "give 7b, 13b or owner/name" in sentence(lambda: download_official(name, tmp_path), InputError)
