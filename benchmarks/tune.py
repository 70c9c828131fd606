"""Ray Tune's part of `benchmarks/runner.py`: trials that do nothing; prints their number per second.

python benchmarks/tune.py RUNS SLOTS REUSE
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from typing import Any

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no files for TensorBoard and the like: we write none either
}

import ray
from ray import tune


class Nothing(tune.Trainable):
    """A trial of one step that does nothing. As a class, for only these can use an actor again."""

    def setup(self, config: dict[str, Any]) -> None: ...

    def step(self) -> dict[str, Any]:
        return {"val_error": 10.0, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # noqa: ARG002
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None: ...

    def load_checkpoint(self, checkpoint: Any) -> None: ...


def main() -> None:
    runs, slots, reuse = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "reuse"
    ray.init(
        num_cpus=slots,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level="error",
        configure_logging=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(Nothing, {"cpu": 1}),
            param_space={"cell": tune.grid_search(list(range(runs)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=slots, reuse_actors=reuse),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        began = time.perf_counter()
        results = tuner.fit()
        seconds = time.perf_counter() - began
    assert len(results) == runs
    assert not results.errors
    print(f"runs per second: {runs / seconds:.3f}")
    ray.shutdown()


if __name__ == "__main__":
    main()
