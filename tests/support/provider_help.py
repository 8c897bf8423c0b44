"""What `qgis_process --json help` says about every algorithm of the plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import qgis_process  # noqa: E402


def ask(env, *words):
    """Parsed answer of qgis_process; its stdout holds JSON and nothing else."""
    command = [qgis_process.executable(), "--json", *words]
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    return json.loads(done.stdout)


def provider_help(stage_folder, profile):
    """{algorithm id: answer of help} for the plugin in `stage_folder`, with an empty profile."""
    env = qgis_process.environment(Path(profile), Path(stage_folder), LANG="C.UTF-8")
    ids = sorted(ask(env, "list")["providers"]["sits"]["algorithms"])
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(zip(ids, threads.map(lambda name: ask(env, "help", name), ids)))


def contract(help_of):
    """What scripts and models rely on: ids, parameters with type and default, outputs with type."""
    return {
        name: {
            "parameters": {
                key: {
                    "type": item["type"]["id"],
                    "optional": item["optional"],
                    "advanced": item["is_advanced"],
                    "default": item["default_value"],
                    **(
                        {"options": item["raw_definition"]["options"]} if item["type"]["id"] == "enum" else {}
                    ),
                }
                for key, item in answer["parameters"].items()
            },
            "outputs": {key: item["type"] for key, item in answer["outputs"].items()},
        }
        for name, answer in help_of.items()
    }
