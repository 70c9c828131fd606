"""The ablation-study lab for Selective Kernel networks, from Python and in notebooks.

Each name is imported when it is first used, so that `import sklab` is fast: it loads neither torch nor pandas. Nothing
is imported here, not even from the standard library: `python -m sklab.cli` runs this before it leaves the current
directory, where such a module may be anybody's.
"""

TYPE_CHECKING = False  # editors and mypy take it for true
if TYPE_CHECKING:
    from sklab.api.run import run
    from sklab.api.study import Study, load
    from sklab.errors import SklabError
    from sklab.models.convert import to_sk
    from sklab.models.sk import SKConv2d
    from sklab.models.zoo import create_model
    from sklab.own.registry import augmentation, data_set, family, metric, optimizer

    __version__: str

# The public names, and the modules that have them.
_MODULES = {
    "SklabError": "sklab.errors",
    "Study": "sklab.api.study",
    "load": "sklab.api.study",
    "run": "sklab.api.run",
    "create_model": "sklab.models.zoo",
    "SKConv2d": "sklab.models.sk",
    "to_sk": "sklab.models.convert",
    "augmentation": "sklab.own.registry",
    "data_set": "sklab.own.registry",
    "family": "sklab.own.registry",
    "metric": "sklab.own.registry",
    "optimizer": "sklab.own.registry",
}
__all__ = [
    "SKConv2d",
    "SklabError",
    "Study",
    "__version__",
    "augmentation",
    "create_model",
    "data_set",
    "family",
    "load",
    "metric",
    "optimizer",
    "run",
    "to_sk",
]


def __getattr__(name: str) -> object:
    import importlib.metadata

    if name == "__version__":
        return importlib.metadata.version("sklab")
    if name not in _MODULES:
        raise AttributeError(f"module 'sklab' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
