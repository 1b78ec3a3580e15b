#!/usr/bin/env python3
"""Writes docs/operators/flags.md from what the programs declare; with --check it compares, and fails when they differ."""

import json
import os
import subprocess
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("VITRAIL_BIN", os.path.join(REPOSITORY, "build", "bin"))
PAGE = os.path.join(REPOSITORY, "docs", "operators", "flags.md")
PROGRAMS = ("vtgate", "vttablet", "vtctld", "vtctldclient", "vtctlclient", "vtctl", "topo2topo", "mysqlctl", "vtorc",
            "vtworker", "vtworkerclient", "vtbackup", "mysqlctld", "vtcombo")

HEAD = """# Flags

Made by `tools/flags_doc.py` from what the programs declare; `--help-json` of a program prints the same as JSON.

A flag is written with one dash or two, with `-` or `_` inside its name, as `--flag value` or `--flag=value`; flags without a
value as `--flag` or `--flag=false`. Lists may be repeated or separated by commas. An unknown flag is refused, with the nearest
known name. Servers also read a config file (`--config-file`): its keys are the names below. Keys marked *live* are followed
while the program runs; a key that goes away from the file has its default again.

Flags **without effect** are accepted because other programs of this family have them: what they ask for holds anyway, or does
no harm. Where only some values are listed, every other value asks for something that is not there, and is refused.
"""


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def describe(flag):
    kind = f"`{flag['type']}`"
    if flag["allowed"]:
        kind = ", ".join(f"`{v}`" if v else "empty" for v in flag["allowed"])
    text = flag["description"]
    if flag["required"]:
        text += " (required)"
    if flag["live"]:
        text += " *live*"
    return kind, flag["default"], text


def page():
    text = HEAD
    for program in PROGRAMS:
        output = subprocess.run([os.path.join(BIN, program), "--help-json"], check=True, capture_output=True, text=True).stdout
        flags = [f for f in json.loads(output) if not f["hidden"]]
        text += f"\n## {program}\n\n| flag | value | default | what it does |\n|---|---|---|---|\n"
        for flag in sorted(flags, key=lambda f: f["name"].replace("_", "-")):
            if flag["command"] != program or not flag["effect"]:
                continue
            kind, default, what = describe(flag)
            text += f"| `--{flag['name'].replace('_', '-')}` | {cell(kind)} | {cell(default)} | {cell(what)} |\n"
        text += "\nWithout effect:\n\n| flag | accepted values | why |\n|---|---|---|\n"
        for flag in sorted(flags, key=lambda f: f["name"].replace("_", "-")):
            if flag["effect"]:
                continue
            values = describe(flag)[0] if flag["allowed"] else "any"
            text += f"| `--{flag['name'].replace('_', '-')}` | {cell(values)} | {cell(flag['description'])} |\n"
        if any(f["command"] != program for f in flags):
            text += f"\nFlags of commands: `{program} <command> --help`.\n"
    return text


def main():
    text = page()
    if "--check" not in sys.argv[1:]:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    with open(PAGE, encoding="utf-8") as file:
        if file.read() == text:
            return 0
    print("docs/operators/flags.md is not what the programs declare. Mend: tools/flags_doc.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
