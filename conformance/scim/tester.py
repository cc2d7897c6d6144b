"""Has scim2-tester judge a SCIM server: every attribute of every resource is
created, replaced, patched and read back, and every answer has to fit the models of
scim2-models. It prints each finding that is not a success and, last, the counts; the
test beside it starts the server and reads them.
"""

import os
from collections import Counter

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import Extension, Mutability, MutabilityException
from scim2_tester import check_server

client = SyncSCIMClient(Client(base_url=os.environ["SCIM_URL"], headers={"Authorization": f"Bearer {os.environ['SCIM_TOKEN']}"}))
client.discover()


def read_only(extension):
    names = set(extension.model_fields) - {"schemas"}
    return all(extension.get_field_annotation(name, Mutability) == Mutability.read_only for name in names)


# A schema can say of attributes that they cannot be written, not of an extension.
# The tester writes to each extension as a whole and wants that to succeed; with
# nothing in it that can be written it has to be refused.
READ_ONLY = {str(m.__schema__) for m in client.provider.models if issubclass(m, Extension) and read_only(m)}
WRITES = {"check_add_attribute", "check_replace_attribute", "check_remove_attribute"}


def verdict(result):
    data = result.data if isinstance(result.data, dict) else {}
    if result.status.name == "ERROR" and result.title in WRITES and str(data.get("urn")) in READ_ONLY:
        # Refused for this reason and no other, or answered with what was there before.
        if isinstance(data.get("error"), MutabilityException) or "modify_actual" in data:
            return "READ_ONLY"
    return result.status.name


counts = Counter()
for result in check_server(client):
    counts[verdict(result)] += 1
    if verdict(result) not in ("SUCCESS", "READ_ONLY"):
        print(result.status.name, result.resource_type or "", result.title, result.reason, result.data)
print("counts", *(f"{name}={counts[name]}" for name in sorted(counts)))
