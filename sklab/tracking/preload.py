"""Loads what wandb itself would load in every run: import this once in a process that runs are forked from."""

import importlib

_LATE = (
    "requests",
    "wandb.apis.public",
    "wandb.sdk.launch.inputs.internal",
    "wandb.sdk.lib.gitlib",
    "wandb.sdk.lib.service.service_connection",
)

for _name in _LATE:
    importlib.import_module(_name)
