"""A study as an RO-Crate: one zip file to hand in or to deposit, without names of people, hosts and folders.

RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) with the profile Process Run Crate: each run is a CreateAction. The bundle
holds what makes up a study, and the report that is made from just that; unpacked, it is a study.
"""

from __future__ import annotations

import json
import mimetypes
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from sklab.errors import SklabError
from sklab.report.archive.private import Scrubber
from sklab.spec.study.sweep import Sweep
from sklab.store.files import content, reseal, writing_whole
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

_METADATA = "ro-crate-metadata.json"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_DATED = (1980, 1, 1, 0, 0, 0)  # of every entry: the same study makes the same bytes
_RUN_TEXTS = ("run.json", "record.json", "metrics.json", "test.json", "analysis.json", "reused.json")
_MEASURED = ("metrics.csv", "attention.json", "images.json")  # numbers whose checksums records name
_WEIGHTS = ("weights.pt", "best.pt")
_MOST = 2**30  # bytes of one file
_MIT = {"csv": "text/csv", "md": "text/markdown", "bib": "application/x-bibtex", "tex": "application/x-tex"}


def archive(study: StudyFolder, out: Path, *, weights: bool = False, license_: str = "") -> Path:
    """Write the bundle of `study` to `out`, whole or not at all; returns `out`. `license_`, an SPDX name or an
    address, stands in its metadata. Raises SklabError where `out` exists, DamagedRecordError when there is no study
    or a record can't be read."""
    from sklab.report.build import build

    if out.exists():
        raise SklabError(f"{out} is there already; give another name (--out) or delete it")
    sweep, records = study.read_sweep(), study.records()
    scrubber = Scrubber(record.hardware.host for record in records.values() if record.hardware)
    with tempfile.TemporaryDirectory() as scratch:
        copy = StudyFolder(Path(scratch) / study.path.resolve().name)
        copy.write_sweep(Sweep.model_validate(scrubber.tree(sweep.model_dump(mode="json"))))
        for file in _texts(study):
            _copy(file, copy.path / file.relative_to(study.path), scrubber)
        build(copy.path)
        files = _files(copy.path)
        if weights:
            files |= {str(file.relative_to(study.path)): file for file in _weights(study, records)}
        text = json.dumps(_metadata(copy, files, license_), indent=1, ensure_ascii=False, sort_keys=True)
        with writing_whole(out) as stream:
            _write_zip(stream, files, text)
    return out


def _texts(study: StudyFolder) -> Iterator[Path]:
    """The files that make up the study, without its sweep."""
    yield from sorted(file for file in (study.path / "looks.json",) if file.is_file())
    for folder in ("plans", "readings"):
        yield from sorted((study.path / folder).glob("*.json"))
    for run in sorted(study.runs.iterdir()) if study.runs.is_dir() else ():
        names = [*_RUN_TEXTS, *_MEASURED, *(file.name for file in sorted(run.glob("evaluation-*.json")))]
        attempts = sorted((run / "attempts").glob("*/"))
        for place in (run, *attempts):
            yield from (place / name for name in names if (place / name).is_file())


def _copy(source: Path, target: Path, scrubber: Scrubber) -> None:
    """Copy a file without what is private; with a new seal where anything was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    found = content(source, _MOST)
    if source.suffix == ".json" and source.name not in _MEASURED:
        tree = from_json(found)
        scrubbed = scrubber.tree(tree)
        found = found if scrubbed == tree else reseal(scrubbed).encode()
    target.write_bytes(found)


def _weights(study: StudyFolder, records: Mapping[str, RunRecord]) -> list[Path]:
    return [file for key in sorted(records) for name in _WEIGHTS if (file := study.run(key).path / name).is_file()]


def _files(folder: Path) -> dict[str, Path]:
    """What the bundle holds, by name."""
    return {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}


def _write_zip(stream: IO[bytes], files: Mapping[str, Path], metadata: str) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(_entry(_METADATA), metadata)
        for name in sorted(files):
            with bundle.open(_entry(name), "w", force_zip64=True) as entry, files[name].open("rb") as source:
                while piece := source.read(1 << 20):
                    entry.write(piece)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATED)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry


def _metadata(study: StudyFolder, files: Mapping[str, Path], license_: str) -> dict[str, Any]:
    """The RO-Crate metadata of the scrubbed `study`."""
    records, sweep = study.records(), study.read_sweep()
    actions = [_action(study.run(key), record, files) for key, record in records.items()]
    software = {f"#sklab-{record.code.version}": record.code.version for record in records.values()}
    ended = max((record.ended for record in records.values()), default="")
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": sweep.study,
        "description": f"Ablation study {sweep.study}. {sweep.question} Names of hosts, users and folders are "
        "replaced; files in which any stood have new seals.",
        "datePublished": ended[:10] or "1980-01-01",
        "conformsTo": {"@id": _PROFILE},
        "hasPart": [{"@id": name} for name in sorted(files)],
        "mentions": [{"@id": action["@id"]} for action in actions],
    }
    if license_:
        root["license"] = license_ if "://" not in license_ else {"@id": license_}
    return {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [
            {
                "@id": _METADATA,
                "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            },
            root,
            {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
            *(
                {"@id": name, "@type": "SoftwareApplication", "name": "sklab", "softwareVersion": version}
                for name, version in sorted(software.items())
            ),
            *(_file(name, file) for name, file in sorted(files.items())),
            *actions,
        ],
    }


def _file(name: str, file: Path) -> dict[str, Any]:
    kind = _MIT.get(file.suffix[1:]) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {"@id": name, "@type": "File", "encodingFormat": kind, "contentSize": str(file.stat().st_size)}


def _action(run: RunFolder, record: RunRecord, files: Mapping[str, Path]) -> dict[str, Any]:
    """A run as an action: sklab made its record of its order."""
    folder = f"runs/{record.key}"
    made = ("record.json", "metrics.csv", *_WEIGHTS)
    action: dict[str, Any] = {
        "@id": f"#run-{run.path.name}",
        "@type": "CreateAction",
        "name": f"{record.cell}, seed {record.spec.seed}",
        "instrument": {"@id": f"#sklab-{record.code.version}"},
        "object": [{"@id": name} for name in (f"{folder}/run.json",) if name in files],
        "result": [{"@id": f"{folder}/{name}"} for name in made if f"{folder}/{name}" in files],
        "actionStatus": {"@id": f"http://schema.org/{'Completed' if record.final else 'Failed'}ActionStatus"},
    }
    times = {"startTime": record.started, "endTime": record.ended}
    return (
        action
        | {name: time for name, time in times.items() if time}
        | ({"error": record.reason} if record.reason else {})
    )
