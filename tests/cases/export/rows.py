"""Reads an exported table, Parquet by pyarrow or CSV by Python's own module: prints types and rows as JSON."""

import csv
import datetime
import json
import sys


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


path = sys.argv[1]
if path.endswith(".parquet"):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    rows = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
else:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    types = {name: "string" for name in rows[0]}
json.dump({"types": types, "rows": rows}, sys.stdout)
