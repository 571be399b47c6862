"""Lets `import torchaudio` succeed beside a torch that it was not compiled for.

transformers imports torchaudio on its way to LLaMA. torchaudio's compiled extension raises OSError beside a
CPU build of torch and RuntimeError beside a newer CUDA build, and then LLaMA cannot be imported either.
minivl, like transformers, needs only the part that is written in Python: resampling and filter banks.

`ensure_importable` loads nothing. It asks Python to try the extension when somebody imports torchaudio, and,
where that fails, to go on with an extension that says of itself that it is not there. A torchaudio that works
stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

EXTENSION = "torchaudio._extension"


class _TolerantLoader(Loader):
    """Runs the extension's own loader; a failure leaves a module without compiled functions."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except (ImportError, OSError, RuntimeError) as problem:
            vars(module).update(
                _IS_TORCHAUDIO_EXT_AVAILABLE=False,
                fail_if_no_align=lambda function: function,
                minivl_problem=problem,  # kept, so that a puzzled reader can look it up
            )


class _ExtensionFinder(MetaPathFinder):
    """Wraps the loader of `torchaudio._extension` and of nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _TolerantLoader(spec.loader)
        return spec


def ensure_importable() -> None:
    """Call before transformers is imported; calling it again changes nothing.

    Without torchaudio, or with one that is imported already, this has no effect.
    """
    if not any(isinstance(finder, _ExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ExtensionFinder())
