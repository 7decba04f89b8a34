"""Reads a page as OpenMetrics by the reference parser, and prints its figures: name, labels and value, a JSON list a line."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value]))
