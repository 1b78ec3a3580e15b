#!/usr/bin/env python3
"""House rules that a machine can check. Each failure names the rule, the reason and the mend."""

import os
import re
import subprocess
import sys

LEVELS = {
    "base": 0, "proto": 0, "sql": 1, "mysql": 1, "net": 2, "shard": 2, "rpc": 3, "mysqld": 3, "mysqlctl": 4, "topo": 4,
    "vschema": 4, "schema": 4, "plan": 5, "movement": 5, "backup": 5, "exec": 6, "tablet": 7, "gate": 7, "control": 7, "orc": 8, "worker": 8, "combo": 8,
}
# Glue that only the .cc files of its own folder include.
PRIVATE_HEADERS = {"src/rpc/status.h"}
# Tables made by a program.
GENERATED = {"src/shard/unicode_table.cc"}
HEAVY = ("nlohmann/", "spdlog/", "grpcpp/", "asio", "gtest/", "gmock/", "microhttpd", "sqlite3")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
MAX_LINES = 1000

failures = []


def report(path, line, rule, reason, mend):
    failures.append(f"{path}:{line}: {rule}\n    reason: {reason}\n    mend:   {mend}")


def check(path):
    parts = path.split("/")
    folder = parts[1] if parts[0] == "src" else None
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    if folder and len(lines) > MAX_LINES and not path.endswith("_test.cc") and path not in GENERATED:
        report(path, len(lines), f"a source file has at most {MAX_LINES} lines",
               "a file that grows without end holds more than one thing", "move one of them to a file of its own")
    if path.endswith(".h") and "#pragma once" not in lines[:40]:
        report(path, 1, "a header starts with #pragma once", "it is included more than once", "add it")
    for number, text in enumerate(lines, 1):
        match = INCLUDE.match(text)
        if not match:
            continue
        quoted, target = match.group(1) == '"', match.group(2)
        other = target.split("/")[0]
        if folder and quoted and other in LEVELS and other != folder and LEVELS[other] >= LEVELS[folder]:
            report(path, number, f"src/{folder} (level {LEVELS[folder]}) includes {target} (level {LEVELS[other]})",
                   "folders form one acyclic order; a folder includes only folders of lower levels",
                   "move the shared part down, or pass it in through an interface")
        if folder and path.endswith(".h") and target.startswith(HEAVY) and not target.endswith("_fwd.hpp") and not path.startswith("src/topo/conformance") \
                and not parts[-1].startswith("test_") and not path.endswith("_for_test.h") \
                and path not in PRIVATE_HEADERS:
            report(path, number, f"header includes the heavy <{target}>",
                   "every file that includes this header pays its compile time", "include it in the .cc file only")


def check_requirements():
    """Whoever cites a requirement cites one that docs/requirements.md has."""
    with open("docs/requirements.md", encoding="utf-8") as file:
        known = set(re.findall(r"\*\*(S\d-\d+)\*\*", file.read()))
    files = subprocess.run(["git", "ls-files", "*.cc", "*.h", "*.py", "*.md"], capture_output=True, text=True, check=True)
    for path in files.stdout.split():
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                for cited in re.findall(r"\bS[0-4]-\d\d+\b", text):
                    if cited not in known:
                        report(path, number, f"{cited} is not in docs/requirements.md",
                               "a reader cannot look it up", "cite a requirement that is there")


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    check_requirements()
    files = subprocess.run(["git", "ls-files", "src/**", "cmd/**"], capture_output=True, text=True, check=True).stdout.split()
    for path in files:
        if path.endswith((".h", ".cc")) and os.path.exists(path):
            check(path)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
