"""The graph as reviewed: every asset, check, job, cron and sensor, in `graph.txt`.

After an intended change, write it anew: `python -m analytics_platform_tests.defs.test_graph > .../graph.txt`.
"""

import subprocess
import sys
from datetime import date
from pathlib import Path

from analytics_platform.definitions import build_definitions
from analytics_platform.settings import Home, Settings

DRAWING = ("pandas", "matplotlib", "seaborn", "sklearn", "scipy", "numpy", "pyarrow")
HEAVY = (*DRAWING, "telegram", "babel", "redis", "boto3")


def graph() -> str:
    """One line for everything that the definitions hold."""
    settings = Settings(timezone="Europe/Moscow", start_date=date(2026, 1, 1))
    repository = build_definitions(Home(Path("home")), settings).get_repository_def()
    assets = repository.asset_graph
    lines = []
    for key in sorted(assets.get_all_asset_keys()):
        node = assets.get(key)
        parents = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        kind = "external" if node.is_external else f"pools {sorted(node.pools or ())}"
        lines.append(f"asset {key.to_user_string()} | group {node.group_name} | from {parents or 'outside'} | {kind}")
    for check in sorted(assets.asset_check_keys):
        spec = assets.get_check_spec(check)
        lines.append(f"check {check.asset_key.to_user_string()} {check.name} | blocking {spec.blocking}")
    for job in sorted(repository.get_all_jobs(), key=lambda j: j.name):
        if not job.name.startswith("__"):
            selected = sorted(k.to_user_string() for k in job.asset_layer.executable_asset_keys)
            lines.append(f"job {job.name} | {', '.join(selected)}")
    lines += [
        f"schedule {s.name} | {s.cron_schedule} {s.execution_timezone} | {s.job_name} | {s.default_status.value}"
        for s in repository.schedule_defs
    ]
    lines += [
        f"sensor {s.name} | every {s.minimum_interval_seconds} s | {s.default_status.value}"
        for s in repository.sensor_defs
    ]
    return "\n".join(lines) + "\n"


def test_the_graph_is_as_reviewed() -> None:
    assert graph() == (Path(__file__).parent / "graph.txt").read_text("utf-8")


def test_nothing_heavy_is_imported_when_the_definitions_load(tmp_path: Path) -> None:
    code = (
        "import sys; from analytics_platform.definitions import definitions, build_definitions; "
        "build_definitions().get_repository_def(); "
        f"print(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
    assert not list(tmp_path.iterdir()), "loading the definitions must not write anything"


def test_dagster_yaml_is_the_same_for_the_repository_and_for_homes() -> None:
    root = Path(__file__).parents[2]
    packaged = root / "analytics_platform" / "defs" / "dagster.yaml"
    assert (root / "dagster.yaml").read_text("utf-8") == packaged.read_text("utf-8")


if __name__ == "__main__":
    sys.stdout.write(graph())
