"""Holds a JSON document against a JSON schema: fails with what is wrong."""

import json
import sys

import jsonschema

schema, document = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
jsonschema.Draft7Validator.check_schema(schema)
jsonschema.validate(document, schema, jsonschema.Draft7Validator)
