#!/usr/bin/env python3
"""Builds the web pages below web/ and writes them, compressed, as a C++ source file.

    build_web.py --output build/web/web_files.cc [--pages auto|required|off]

What the pages are made of comes from the npm registry, into web/node_modules, once for each web/package-lock.json. Where
the registry cannot be reached, "auto" says so and makes a file without pages (vtctld then says so, too), and the next
build tries again; "required" fails.
"""

import argparse
import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEB = os.path.join(REPOSITORY, "web")
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml"}
BYTES_MAX = 200_000  # Compressed, all of them.
SECONDS = 300  # Of one tool, on a busy machine.
# A registry that is not there is told within seconds; npm would try for more than a minute.
IMPATIENT = ("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000")
NO_PAGES = "// No pages."  # The first line of a file without them: ./dev build removes such a file to try again.


class Unreachable(Exception):
    pass


def say(text):
    print(f"web pages: {text}", file=sys.stderr, flush=True)


def run(*argv):
    try:
        done = subprocess.run(argv, cwd=WEB, capture_output=True, text=True, timeout=SECONDS, check=False,
                              stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return 127, f"{argv[0]} is not installed: ./dev deps installs nodejs and npm"
    except subprocess.TimeoutExpired:
        return 124, f"{' '.join(argv)} took more than {SECONDS} s"
    return done.returncode, (done.stdout + done.stderr).strip()


def install():
    """web/node_modules as web/package-lock.json wants it."""
    with open(os.path.join(WEB, "package-lock.json"), "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    mark = os.path.join(WEB, "node_modules", ".vitrail")
    if os.path.exists(mark):
        with open(mark, encoding="utf-8") as file:
            if file.read() == wanted:
                return
    code, output = run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", *IMPATIENT)
    if code != 0:
        raise Unreachable(output)
    with open(mark, "w", encoding="utf-8") as file:
        file.write(wanted)


def build(folder):
    """The files of the built pages, by path."""
    for tool, *arguments in (("tsc", "--noEmit"), ("vite", "build", "--outDir", folder, "--emptyOutDir", "--logLevel", "warn")):
        code, output = run("node", os.path.join("node_modules", ".bin", tool), *arguments)
        if code != 0:
            say(f"{tool} failed:\n{output}")
            sys.exit(1)
    files = {}
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                files["/" + os.path.relpath(path, folder)] = gzip.compress(file.read(), 9, mtime=0)
    return files


def source_of(files):
    lines = [NO_PAGES] if not files else []
    lines += ["// Made by tools/build_web.py.", '#include "control/web_site.h"', "", "namespace vitrail::control {"]
    if files:
        lines += ["namespace {", ""]
        for index, data in enumerate(files.values()):
            lines.append(f"constexpr unsigned char kFile{index}[] = {{")
            lines += [",".join(map(str, data[i:i + 64])) + "," for i in range(0, len(data), 64)]
            lines.append("};")
        lines += ["", "const WebFile kFiles[] = {"]
        for index, path in enumerate(files):
            kind = TYPES[os.path.splitext(path)[1]]
            lines.append(f'    {{"{path}", "{kind}", {{reinterpret_cast<const char*>(kFile{index}), sizeof kFile{index}}}}},')
        lines += ["};", "", "}  // namespace"]
    lines += ["", f"std::span<const WebFile> built_web_files() {{ return {'kFiles' if files else '{}'}; }}", "",
              "}  // namespace vitrail::control", ""]
    return "\n".join(lines)


def make(pages, output):
    if pages == "off":
        return {}
    try:
        install()
    except Unreachable as problem:
        text = (f"npm could not fetch what web/package-lock.json names, so vtctld is built WITHOUT its web pages.\n{problem}\n"
                "Make the npm registry reachable (npm config get registry) and run ./dev build again; or build without pages "
                "on purpose: cmake -DVITRAIL_WEB=off")
        say(text)
        if pages == "required":
            sys.exit(1)
        return {}
    folder = os.path.join(os.path.dirname(output), "site")
    files = build(folder)
    shutil.rmtree(folder)
    size = sum(map(len, files.values()))
    if size > BYTES_MAX:
        say(f"{size} bytes compressed: the limit is {BYTES_MAX}")
        sys.exit(1)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True)
    parser.add_argument("--pages", choices=("auto", "required", "off"), default="auto")
    options = parser.parse_args()
    output = os.path.abspath(options.output)
    # Build folders of several presets share web/node_modules.
    with open(os.path.join(WEB, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = source_of(make(options.pages, output))
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
