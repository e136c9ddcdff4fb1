"""Says of each YAML document whether a JSON Schema takes it, as an editor with yaml-language-server would.

stdin: {"schema": path, "documents": [text, …]}; stdout: [null or why it is refused, …]
"""
import json
import re
import sys

import jsonschema
import yaml


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema: PyYAML's own is 1.1, which takes yes and 1:30 for something else."""

    yaml_implicit_resolvers = {}


def resolve(tag, pattern, first):
    Core.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile("^(?:%s)$" % pattern), first)


resolve("null", r"~|null|Null|NULL|", ["~", "n", "N", ""])
resolve("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF"))
resolve("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789"))
resolve("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789"))


def number(loader, node):
    text = node.value
    if text.startswith("0x"):
        return int(text, 16)
    if text.startswith("0o"):
        return int(text[2:], 8)
    return int(text)


Core.add_constructor("tag:yaml.org,2002:int", number)
Core.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))

request = json.load(sys.stdin)
schema = json.load(open(request["schema"]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
verdicts = []
for text in request["documents"]:
    try:
        document = yaml.load(text, Core)
        # As JSON has it: a key is a text.
        json.dumps(document)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        verdicts.append("not YAML: %s" % error)
        continue
    try:
        errors = list(validator.iter_errors(document))
    except TypeError as error:
        errors = [jsonschema.ValidationError(str(error))]
    verdicts.append(errors[0].message if errors else None)
json.dump(verdicts, sys.stdout)
