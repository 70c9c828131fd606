"""The commands that bring a study to Weights & Biases: wandb sync, wandb publish."""

from __future__ import annotations

import argparse

from sklab.commands.options import COMPLETE, Commands, add_command, add_study, study_folder


def add_wandb(commands: Commands) -> None:
    """`sklab wandb sync` and `sklab wandb publish`."""
    wandb = commands.add_parser("wandb", help="bring a study to Weights & Biases")
    actions = wandb.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_study(add_command(actions, "sync", _sync, "upload the offline runs that were not uploaded before"))
    publish = add_command(actions, "publish", _publish, "make or update a study's workspace and W&B report")
    add_study(publish)
    publish.add_argument("--dry-run", action="store_true", help="only write the two as JSON, without any network")


def _publish(options: argparse.Namespace) -> int:
    from sklab.tracking.mode import sync_command
    from sklab.tracking.publish import publish, write_specs
    from sklab.tracking.sync import pending

    study = study_folder(options.study, options)
    if options.dry_run:
        print("\n".join(str(file) for file in write_specs(study)))
        return COMPLETE
    for view in publish(study):
        print(f"{view.kind} {'created' if view.created else 'updated'}: {view.url}")
    if left := len(pending(study)):
        print(f"{left} offline runs are not on the server yet: {sync_command(study.path)}")
    return COMPLETE


def _sync(options: argparse.Namespace) -> int:
    from sklab.tracking.sync import pending, sync

    study = study_folder(options.study, options)
    study.read_sweep()
    files = pending(study)
    for number, file in enumerate(sync(study, files), start=1):
        print(f"{number} of {len(files)} uploaded: {file.parent.name}", flush=True)
    if not files:
        print("every offline run that has ended was uploaded before")
    return COMPLETE
