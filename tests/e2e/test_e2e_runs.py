"""Four real nodes on loopback, real builds through the real command line."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from cluster import Cluster, descendants, eventually, step, write_files

SOURCES = {
    "vitte-dist.toml": '[project]\nname = "hello"\n'
    + step(
        name="compile",
        kind="build",
        foreach="src/*.c",
        run="cc -O1 -Iinclude -c {in} -o {out}",
        out="build/{stem}.o",
        scan="cc",
    )
    + step(
        name="link",
        kind="build",
        run=["cc", "-o", "{out}", "{needs.compile}"],
        needs=["compile"],
        out="build/app",
    )
    + step(name="check", kind="test", run="./build/app", needs=["link"], inputs=["build/app"]),
    "include/one.h": "#define ONE 1\n",
    "include/two.h": "#define TWO 2\n",
    "src/one.c": '#include "one.h"\nint one(void) { return ONE; }\n',
    "src/two.c": '#include "two.h"\nint two(void) { return TWO; }\n',
    "src/both.c": '#include "one.h"\n#include "two.h"\nint both(void) { return ONE + TWO; }\n',
    "src/main.c": "int one(void); int two(void); int both(void);\n"
    "int main(void) { return one() + two() - both(); }\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_files(tmp_path / "hello", SOURCES)


def sleepers(root: Path, count: int, seconds: float, kind: str = "build") -> Path:
    """A project of `count` shards that sleep and write their number."""
    files = {f"in/{i}": str(i) for i in range(count)}
    table = step(
        name="nap",
        kind=kind,
        foreach="in/*",
        run=f"sleep {seconds}; cp {{in}} {{out}}",
        out="out/{stem}",
    )
    return write_files(root, {**files, "vitte-dist.toml": f'[project]\nname = "nap"\n{table}'})


def outputs(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "build").iterdir())}


def test_a_build_spreads_over_nodes_and_the_second_is_all_hits(
    cluster: Cluster, tmp_path: Path
) -> None:
    root = sleepers(tmp_path / "nap", 12, 0.3)
    first = cluster.run("build", cwd=root)
    assert first["ok"]
    assert first["remote"] + first["local"] == 12
    assert len(first["nodes"]) == 4, "four idle slots share twelve shards"
    second = cluster.run("build", cwd=root)
    assert second["cached"] == second["shards"] == 12


def test_any_peer_gets_hits_for_what_another_built(cluster: Cluster, project: Path) -> None:
    assert cluster.run("build", cwd=project)["ok"]
    before = outputs(project)
    for path in (project / "build").iterdir():
        path.unlink()
    again = cluster.run("build", cwd=project, number=3)
    assert again["cached"] == again["shards"]
    assert outputs(project) == before


def test_the_same_sources_in_another_folder_are_hits(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("a", "b"):
        root = write_files(tmp_path / name, SOURCES)
        view = cluster.run("build", cwd=root)
        assert view["ok"]
    assert view["cached"] == view["shards"]


def test_outputs_are_those_of_a_local_build(cluster: Cluster, project: Path) -> None:
    assert cluster.run("build", "--no-cache", cwd=project)["ok"]
    distributed = outputs(project)
    for path in (project / "build").iterdir():
        path.unlink()
    assert cluster.run("build", "--no-cache", "--mode", "local", cwd=project)["ok"]
    assert outputs(project) == distributed
    assert os.access(project / "build/app", os.X_OK)
    subprocess.run([project / "build/app"], check=True)


def test_one_changed_header_rebuilds_exactly_its_dependents(
    cluster: Cluster, project: Path
) -> None:
    assert cluster.run("build", cwd=project)["ok"]
    (project / "include/one.h").write_text("#define ONE 11\n")
    view = cluster.run("build", cwd=project)
    shards = cluster.json("dist", "explain", view["run"])["shards"]
    rebuilt = {shard["name"] for shard in shards if shard["source"] != "cached"}
    assert rebuilt == {"compile src/one.c", "compile src/both.c", "link"}


def test_a_header_that_is_mentioned_but_not_read_rebuilds_nothing(
    cluster: Cluster, project: Path
) -> None:
    unread = "#ifdef NEVER\n#include <unread.h>\n#endif\nint one(void) { return 1; }\n"
    write_files(project, {"src/one.c": unread, "include/unread.h": ""})
    assert cluster.run("build", cwd=project)["ok"]
    (project / "include/unread.h").write_text("int changed;\n")
    view = cluster.run("build", cwd=project)
    assert view["cached"] == view["shards"]


def test_a_new_header_that_shadows_another_is_noticed(cluster: Cluster, project: Path) -> None:
    assert cluster.run("build", cwd=project)["ok"]
    (project / "src/one.h").write_text("#define ONE 21\n")
    view = cluster.run("build", cwd=project)
    shards = cluster.json("dist", "explain", view["run"])["shards"]
    rebuilt = {shard["name"] for shard in shards if shard["source"] != "cached"}
    assert rebuilt == {"compile src/one.c", "compile src/both.c", "link"}


def test_tests_build_first_and_a_failing_one_says_so(cluster: Cluster, project: Path) -> None:
    assert cluster.run("test", cwd=project)["exit_code"] == 0
    (project / "src/main.c").write_text("int main(void) { return 9; }\n")
    view = cluster.run("test", cwd=project)
    assert view["exit_code"] == 3
    (failure,) = view["failures"]
    assert failure["status"] == 9
    assert "./build/app" in failure["rerun"]


def test_a_compiler_error_is_shown_with_its_command_last(cluster: Cluster, project: Path) -> None:
    (project / "src/two.c").write_text("int two(void) { return oops; }\n")
    done = cluster.vitte("dist", "run", "build", cwd=project)
    assert done.returncode == 1
    tail = done.stderr[-1500:]
    assert "oops" in tail
    assert "cc -O1 -Iinclude -c src/two.c -o build/two.o" in tail
    assert not (project / "build/two.o").exists()


def test_keep_going_does_everything_that_does_not_need_the_failure(
    cluster: Cluster, project: Path
) -> None:
    (project / "src/two.c").write_text("int two(void) { return oops; }\n")
    view = cluster.run("build", "--keep-going", cwd=project)
    assert (view["failed"], view["skipped"]) == (1, 1)
    assert view["shards"] == 5
    assert (project / "build/one.o").exists()


def test_an_undeclared_input_is_not_there(cluster: Cluster, tmp_path: Path) -> None:
    table = step(name="peek", kind="build", run="cat secret.txt > {out}", out="x", inputs=[])
    files = {"vitte-dist.toml": f'[project]\nname = "p"\n{table}', "secret.txt": "s"}
    view = cluster.run("build", cwd=write_files(tmp_path / "p", files))
    assert view["exit_code"] == 1
    assert "secret.txt" in view["failures"][0]["stderr_tail"]


def test_a_promised_output_that_is_missing_is_an_error_of_its_own(
    cluster: Cluster, tmp_path: Path
) -> None:
    table = step(name="idle", kind="build", run="true", out="never.txt")
    files = {"vitte-dist.toml": f'[project]\nname = "p"\n{table}'}
    view = cluster.run("build", cwd=write_files(tmp_path / "p", files))
    assert view["failures"][0]["error"]["code"] == "VM403"
    assert "never.txt" in view["failures"][0]["error"]["message"]


def test_a_slow_step_is_stopped_at_its_timeout(cluster: Cluster, tmp_path: Path) -> None:
    table = step(name="slow", kind="build", run="sleep 60", out="x", timeout="1s")
    files = {"vitte-dist.toml": f'[project]\nname = "p"\n{table}'}
    view = cluster.run("build", cwd=write_files(tmp_path / "p", files))
    assert view["failures"][0]["error"]["code"] == "VM402"
    assert view["exit_code"] == 13
    assert view["seconds"] < 20


def test_one_command_runs_on_a_snapshot_and_passes_its_exit_code(
    cluster: Cluster, tmp_path: Path
) -> None:
    root = write_files(tmp_path / "repo", {"a.txt": "hello\n", "ignored.txt": "no\n"})
    write_files(root, {".gitignore": "ignored.txt\n"})
    subprocess.run(["git", "init", "-q", root], check=True)
    script = "cat a.txt; ls; echo oh >&2; exit 7"
    done = cluster.vitte("dist", "run", "--", "sh", "-c", script, cwd=root)
    assert done.returncode == 7
    assert done.stdout.splitlines()[0] == "hello"
    assert "ignored.txt" not in done.stdout
    assert "oh" in done.stderr


def test_a_command_gives_back_the_outputs_it_names(cluster: Cluster, tmp_path: Path) -> None:
    root = write_files(tmp_path / "repo", {"a.txt": "hello\n"})
    subprocess.run(["git", "init", "-q", root], check=True)
    done = cluster.vitte("dist", "run", "--out", "b.txt", "--", "cp", "a.txt", "b.txt", cwd=root)
    assert done.returncode == 0, done.stderr
    assert (root / "b.txt").read_text() == "hello\n"


def test_ctrl_c_stops_everything_everywhere(cluster: Cluster, tmp_path: Path) -> None:
    root = sleepers(tmp_path / "nap", 8, 60)

    def naps() -> int:
        return sum(
            b"sleep\x0060" in (Path("/proc") / str(pid) / "cmdline").read_bytes()
            for number in range(1, 5)
            for pid in descendants(cluster.pid(number))
            if (Path("/proc") / str(pid)).exists()
        )

    process = cluster.start_command("dist", "run", "build", cwd=root)
    eventually(lambda: naps() == 4, "four shards to sleep")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    eventually(lambda: naps() == 0, "all sleepers to be gone", timeout_s=10)
    assert cluster.json("dist", "status")["runs"] == []


def test_local_mode_stays_here_and_cluster_mode_goes_away(cluster: Cluster, tmp_path: Path) -> None:
    root = sleepers(tmp_path / "nap", 4, 0.05)
    assert cluster.run("build", "--mode", "local", cwd=root)["nodes"] == {"node-1": 4}
    away = cluster.run("build", "--mode", "cluster", "--no-cache", cwd=root)
    assert away["ok"]
    assert "node-1" not in away["nodes"]


def test_the_run_timeout_stops_the_run(cluster: Cluster, tmp_path: Path) -> None:
    root = sleepers(tmp_path / "nap", 4, 30)
    view = cluster.run("build", "--timeout", "1s", cwd=root)
    assert view["exit_code"] == 13
    assert view["error"]["code"] == "VM406"


def test_explain_says_why_and_logs_show_what_was_written(cluster: Cluster, tmp_path: Path) -> None:
    table = step(name="talk", kind="build", run="echo said so; echo x > {out}", out="x")
    root = write_files(tmp_path / "p", {"vitte-dist.toml": f'[project]\nname = "p"\n{table}'})
    view = cluster.run("build", cwd=root)
    explained = cluster.json("dist", "explain", view["run"], "talk")
    assert explained["shards"][0]["why"]
    assert {each["node"] for each in explained["shards"][0]["nodes"]} >= {"node-1", "node-4"}
    assert "said so" in cluster.vitte("dist", "logs", view["run"]).stdout
    cached = cluster.run("build", cwd=root)
    assert "said so" in cluster.vitte("dist", "logs", cached["run"]).stdout


def test_nothing_to_plan_says_what_was_looked_for(cluster: Cluster, tmp_path: Path) -> None:
    done = cluster.vitte("dist", "run", "build", cwd=tmp_path)
    assert done.returncode == 2
    assert "VM301" in done.stderr
    assert "vitte-dist.toml" in done.stderr
    assert "build.ninja" in done.stderr


def test_a_mistake_in_the_project_file_names_file_and_line(
    cluster: Cluster, tmp_path: Path
) -> None:
    files = {"vitte-dist.toml": '[project]\nname = "p"\n[[step]]\nname = "x"\nrunn = "true"\n'}
    done = cluster.vitte("dist", "run", "build", cwd=write_files(tmp_path / "p", files))
    assert done.returncode == 2
    assert "vitte-dist.toml:5" in done.stderr


def test_a_shard_with_very_many_inputs_is_stolen_like_any_other(
    cluster: Cluster, tmp_path: Path
) -> None:
    many = {f"data/file-with-a-rather-long-name-{i}.txt": str(i) for i in range(2000)}
    table = step(name="sum", kind="build", run="cat data/* | wc -c > {out}", out="sum.txt")
    files = {**many, "vitte-dist.toml": f'[project]\nname = "many"\n{table}'}
    root = write_files(tmp_path / "many", files)
    view = cluster.run("build", "--mode", "cluster", cwd=root)
    assert view["ok"], view["failures"]
    assert view["remote"] == 1
    assert int((root / "sum.txt").read_text()) == sum(len(text) for text in many.values())
