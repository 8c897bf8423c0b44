"""Ids, parameters and outputs are an API that scripts and models store; they agree with the engine's jobs."""

import html
import json
import re
from pathlib import Path

import algorithm_pages
import provider_help
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SNAPSHOT = HERE / "provider.json"
#: Parameters that only QGIS needs, and the field of the job that they feed.
FEEDS = {
    ("buildtimeseries", "AUTH_CONFIG"): "auth_header",
    ("trainsourcemodel", "MORE_PARCELS"): "parcels",
    ("trainsourcemodel", "LABELS_FIELD"): "field",
    ("trainsegmentationmodel", "MORE_PARCELS"): "parcels",
    ("exporttrainingwindows", "MORE_PARCELS"): "parcels",
    ("assessmap", "REFERENCE_RASTER"): "reference",
    ("estimatetemporalshift", "EXTENT"): "region",
    ("adapttoregion", "EXTENT"): "region",
    ("adapttoregion", "MORE_PARCELS"): "parcels",
    ("adapttoregion", "LABELS_FIELD"): "field",
    ("adapttoregion", "TARGET_LABELS_FIELD"): "target_field",
    ("compareadaptation", "MORE_PARCELS"): "parcels",
    ("compareadaptation", "LABELS_FIELD"): "field",
    ("compareadaptation", "TARGET_LABELS_FIELD"): "target_field",
    ("trainphotomodel", "PHOTO_SOURCE"): "photos",
    ("retrievephotos", "PHOTO_SOURCE"): "photos",
    ("evaluatephotomodel", "PHOTO_SOURCE"): "photos",
    ("evaluatephotomodel", "LABEL_NAME"): "label_field",
}
#: Files that QGIS users find beside the report; only the command line names them itself.
BESIDE = {
    (job, "numbers")
    for job in (
        "trainsourcemodel",
        "trainsegmentationmodel",
        "trainphotomodel",
        "makepseudomasks",
        "estimatetemporalshift",
        "adapttoregion",
        "compareadaptation",
    )
}
#: Their dialogs ask for two regions.
TWO_REGIONS = {"sits:adapttoregion", "sits:compareadaptation"}


def test_ids_parameters_and_outputs_are_those_of_the_snapshot(help_of, written_by_this_qgis):
    found = provider_help.contract(help_of)
    expected = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert found == expected, "If the change is wanted: tests/support/algorithm_pages.py writes it anew."


def test_every_parameter_feeds_a_field_and_every_field_has_a_parameter(help_of, fields):
    for job, own in fields.items():
        if job == "status":
            continue
        names = help_of[f"sits:{job}"]["parameters"]
        fed = {FEEDS.get((job, name), name.lower()) for name in names}
        assert fed - own.keys() == set(), f"{job}: the engine has no such field"
        left = {name for name in own.keys() - fed if (job, name) not in BESIDE}
        assert left == set(), f"{job}: fields that nobody can set"


def test_defaults_choices_and_bounds_agree_with_the_engine(help_of, fields):
    wrong = []
    for job, own in fields.items():
        for name, item in help_of.get(f"sits:{job}", {"parameters": {}})["parameters"].items():
            field = own.get(name.lower())
            if field is None:
                continue
            raw = item["raw_definition"]
            default = item["default_value"]
            if default is not None and field["default"] != default:
                wrong.append(f"{job}.{name}: default {default}, engine {field['default']}")
            if field["choices"] and raw.get("options") != field["choices"]:
                wrong.append(f"{job}.{name}: options {raw.get('options')}, engine {field['choices']}")
            if item["type"]["id"] == "number":
                low, high = field.get("low"), field.get("high")
                if low is not None and raw["min"] < low:
                    wrong.append(f"{job}.{name}: minimum {raw['min']}, engine {low}")
                if high is not None and raw["max"] > high:
                    wrong.append(f"{job}.{name}: maximum {raw['max']}, engine {high}")
            others = {fed for (of, _), fed in FEEDS.items() if of == job}
            if field["required"] and item["optional"] and name.lower() not in others:
                wrong.append(f"{job}.{name}: optional, but the engine requires it")
    assert wrong == []


def test_dialogs_are_small_and_every_parameter_explains_itself(help_of):
    for name, answer in help_of.items():
        shown = [key for key, item in answer["parameters"].items() if not item["is_advanced"]]
        # A model shows the results of each of its steps ("step:NAME"), which QGIS names.
        most = 10 if name in TWO_REGIONS else 6
        assert len([key for key in shown if ":" not in key]) <= most, (name, shown)
        for key, item in answer["parameters"].items():
            assert item["help"].strip(), f"{name}: {key} has no help"
            assert item["help"].strip()[-1] in ".)", f"{name}: the help of {key} is no sentence"
            first, rest = item["description"][0], item["description"][1:].split(" ")[0]
            assert first.isupper(), (name, key)
            assert rest.islower() or not rest.isalpha() or rest.isupper(), (name, key)
            assert re.fullmatch(r"([a-z]+:)?[A-Z][A-Z0-9_]*", key), key
            if item["type"]["id"] == "enum":
                assert item["raw_definition"]["uses_static_strings"], (name, key)


def test_every_algorithm_has_a_tooltip_tags_a_group_and_help(help_of):
    groups = set()
    for name, answer in help_of.items():
        details = answer["algorithm_details"]
        slug = name.split(":")[1]
        assert details["short_description"].endswith("."), name
        assert len(details["tags"]) >= 3, name
        assert details["help_url"].endswith(f"docs/algorithms/{slug}.md"), name
        assert details["group"], name
        groups.add(details["group"])
        words = details["name"].split(" ")
        assert words[0][0].isupper(), name
        assert all(word in (word.lower(), word.upper()) for word in words[1:]), f"{name}: no sentence case"
    assert len(groups) <= 6


@pytest.mark.parametrize("path", sorted((ROOT / "resources" / "help").glob("*.html")), ids=lambda p: p.stem)
def test_help_says_inputs_outputs_limits_and_time(path):
    job = path.stem
    text = html.unescape(path.read_text(encoding="utf-8"))
    for heading in ("Inputs", "Outputs", "Limits and time"):
        assert f"<h3>{heading}" in text, (job, heading)
    opened = re.findall(r"<([a-z]\w*)[ >]", text)
    closed = re.findall(r"</([a-z]\w*)>", text)
    assert sorted(opened) == sorted(closed), job


def test_pages_of_the_documentation_are_up_to_date(help_of, written_by_this_qgis):
    for name, answer in help_of.items():
        slug = name.split(":")[1]
        page = ROOT / "docs" / "algorithms" / f"{slug}.md"
        expected = algorithm_pages.page(answer)
        assert page.read_text(encoding="utf-8") == expected, f"{page}: run tests/support/algorithm_pages.py"
