"""Has scim2-tester judge a SCIM server: every attribute of every resource is
created, replaced, patched and read back, and every answer has to fit the models of
scim2-models. It prints each finding that is not a success and, last, the counts; the
test beside it starts the server and reads them.
"""

import os
from collections import Counter

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

client = SyncSCIMClient(Client(base_url=os.environ["SCIM_URL"], headers={"Authorization": f"Bearer {os.environ['SCIM_TOKEN']}"}))
client.discover()

counts = Counter()
for result in check_server(client):
    counts[result.status.name] += 1
    if result.status.name != "SUCCESS":
        print(result.status.name, result.resource_type or "", result.title, result.reason, result.data)
print("counts", *(f"{name}={counts[name]}" for name in sorted(counts)))
