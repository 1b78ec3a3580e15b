#!/usr/bin/env python3
"""Plain Kubernetes manifests of the chart: manifests.py [VALUES FILE] [--set KEY=VALUE ...] [--namespace NAME] > cluster.yaml

What helm adds for itself is left out. `kubectl apply -f` takes the result; jobs that have run cannot be applied again with another image.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vitrail.kubernetes import Missing, render, tool  # noqa: E402


def plain(text):
    """Without helm's labels and the comments that name templates."""
    text = re.sub(r"^# Source: .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^ *app\.kubernetes\.io/managed-by: Helm\n", "", text, flags=re.MULTILINE)


def main():
    arguments = sys.argv[1:]
    values = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    try:
        tool("helm", seconds=1800)
    except Missing as missing:
        print(f"manifests.py: this needs {missing}", file=sys.stderr)
        return 1
    code, text = render(values, *arguments)
    if code != 0:
        print(text, file=sys.stderr)
        return 1
    print("# Made by tools/manifests.py: change the values instead.\n" + plain(text), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
