#!/usr/bin/env python3
"""Renders the Helm chart as `helm template` would, with Helm's own code: the values files follow the chart's folder.

Needs the package helm-python-sdk, which brings Helm as a library. Prints one JSON list of the documents.
"""

import json
import sys

import helm_python
import yaml


def main() -> None:
    chart_path, *values_files = sys.argv[1:]
    values: dict = {}
    for path in values_files:
        with open(path, encoding="utf-8") as file:
            values.update(yaml.safe_load(file) or {})
    report = helm_python.lint(chart_path, values, strict=True)
    faults = [message for message in report["messages"] if message["severity"] > 1]
    if faults or report["errors"]:
        sys.exit(f"helm lint: {faults} {report['errors']}")
    rendered = helm_python.Chart.load(chart_path).render(values, name="data-storage", namespace="kubernaut-system")
    documents = []
    for path, text in rendered.items():
        if path.endswith(".yaml"):
            documents.extend(document for document in yaml.safe_load_all(text) if document)
    json.dump(documents, sys.stdout)


if __name__ == "__main__":
    main()
