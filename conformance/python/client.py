"""Talks to a Mattermost server through mattermostautodriver and stops at the first
answer that driver's users could not work with. It prints a line per thing that
was done; the test beside it starts the server and counts the lines.
"""

import logging
import os
import re
from urllib.parse import urlsplit

from mattermostautodriver import TypedDriver
from mattermostautodriver.exceptions import (
    FeatureDisabled,
    InvalidOrMissingParameters,
    NoAccessTokenProvided,
    NotEnoughPermissions,
    ResourceNotFound,
)

logging.disable()  # the driver logs each refusal that is asked for here

URL = urlsplit(os.environ["MM_URL"])
LOGIN, PASSWORD = os.environ["MM_LOGIN"], os.environ["MM_PASSWORD"]
OLD = os.environ["MM_PROFILE"] == "5.38"
OWN_PASSWORD = "Python-Passw0rd-1!"
ID = re.compile(r"^[a-z0-9]{26}$")

count = 0


def done(what):
    global count
    count += 1
    print(f"ok {count} {what}")


def connect(**how):
    return TypedDriver({"scheme": URL.scheme, "url": URL.hostname, "port": URL.port, **how})


def is_user(user):
    assert ID.match(user["id"]), user
    for key in ("create_at", "update_at", "delete_at"):
        assert type(user[key]) is int, (key, user)
    for key in ("username", "email", "nickname", "first_name", "last_name", "position", "roles", "locale", "auth_service"):
        assert type(user[key]) is str, (key, user)
    assert type(user["timezone"]["useAutomaticTimezone"]) is str


def fails(kind, error_id, call, *args, **named):
    """The error as the driver shows it to its users."""
    try:
        answer = call(*args, **named)
    except kind as err:
        assert err.error_id == error_id, err.error_id
        assert str(err) != ""
        return
    raise AssertionError(f"{error_id} was expected, got {answer}")


def ids(users):
    return sorted(user["id"] for user in users)


# --- who is there

admin = connect(login_id=LOGIN, password=PASSWORD)
me = admin.login()
is_user(me)
assert me["username"] == LOGIN == admin.client.username
assert ID.match(admin.client.token)
assert admin.users.get_user("me")["id"] == me["id"]
done("login")

fails(NoAccessTokenProvided, "api.user.login.invalid_credentials_email_username", connect(login_id=LOGIN, password="wrong").login)
fails(NoAccessTokenProvided, "api.context.session_expired.app_error", connect().users.get_user, "me")
done("refused logins")

listed = admin.users.get_users(page=0, per_page=200)
for user in listed:
    is_user(user)
assert me["id"] in ids(listed)
assert admin.users.get_users(page=99, per_page=200) == []
done("list")

# --- an account

made = admin.users.create_user(email="Python.One@example.test", username="python.one", password=OWN_PASSWORD, first_name="Nö")
is_user(made)
assert made["email"] == "python.one@example.test"
assert made["roles"] == "system_user"
assert made["delete_at"] == 0
done("create")

fails(
    InvalidOrMissingParameters,
    "app.user.save.username_exists.app_error",
    admin.users.create_user,
    email="other@example.test",
    username="python.one",
    password=OWN_PASSWORD,
)
fails(
    InvalidOrMissingParameters,
    "app.user.save.email_exists.app_error",
    admin.users.create_user,
    email="python.one@example.test",
    username="python.two",
    password=OWN_PASSWORD,
)
done("refused creations")

assert admin.users.get_user(made["id"])["username"] == "python.one"
assert admin.users.get_user_by_username("python.one")["id"] == made["id"]
assert admin.users.get_user_by_email("python.one@example.test")["id"] == made["id"]
by_ids = admin.users.get_users_by_ids([made["id"], me["id"], "a" * 26])
assert ids(by_ids) == sorted([made["id"], me["id"]])
for user in by_ids:
    is_user(user)
assert ids(admin.users.get_users_by_usernames(["python.one", "nobody.there"])) == [made["id"]]
assert ids(admin.users.search_users("python.one", allow_inactive=True)) == [made["id"]]
done("read by id, ids, username, usernames, e-mail and search")

fails(ResourceNotFound, "app.user.missing_account.const", admin.users.get_user, "b" * 26)
fails(ResourceNotFound, "app.user.get_by_username.app_error", admin.users.get_user_by_username, "nobody.there")
fails(ResourceNotFound, "app.user.missing_account.const", admin.users.get_user_by_email, "nobody@example.test")
done("not found")

patched = admin.users.patch_user(made["id"], nickname="One", position="Engineer", username="python.uno")
is_user(patched)
assert [patched[k] for k in ("nickname", "position", "username", "first_name")] == ["One", "Engineer", "python.uno", "Nö"]
assert patched["update_at"] >= made["update_at"]
done("patch")

assert admin.users.update_user_roles(made["id"], "system_user system_admin")["status"] == "OK"
assert sorted(admin.users.get_user(made["id"])["roles"].split()) == ["system_admin", "system_user"]
assert admin.users.update_user_roles(made["id"], "system_user")["status"] == "OK"
fails(
    InvalidOrMissingParameters,
    "app.role.check_roles_exist.role_not_found",
    admin.users.update_user_roles,
    made["id"],
    "system_nonsense",
)
done("roles")

# --- sessions and tokens

person = connect(login_id="python.uno", password=OWN_PASSWORD)
assert person.login()["id"] == made["id"]
fails(
    NotEnoughPermissions,
    "api.context.permissions.app_error",
    person.users.update_user_roles,
    made["id"],
    "system_user system_admin",
)
sessions = admin.users.get_sessions(made["id"])
assert len(sessions) == 1
assert ID.match(sessions[0]["id"])
assert type(sessions[0]["expires_at"]) is int
assert admin.users.revoke_all_sessions(made["id"])["status"] == "OK"
fails(NoAccessTokenProvided, "api.context.session_expired.app_error", person.users.get_user, "me")
done("sessions revoked")

token = admin.users.create_user_access_token(made["id"], "for the conformance test")
assert ID.match(token["id"]) and ID.match(token["token"])
assert token["is_active"] is True
by_token = connect(token=token["token"])
assert by_token.login()["id"] == made["id"]
done("access token")

assert admin.users.update_user_active(made["id"], False)["status"] == "OK"
assert admin.users.get_user(made["id"])["delete_at"] > 0
fails(NoAccessTokenProvided, "api.context.session_expired.app_error", by_token.users.get_user, "me")
fails(
    NoAccessTokenProvided,
    "api.user.login.inactive.app_error",
    connect(login_id="python.uno", password=OWN_PASSWORD).login,
)
assert admin.users.update_user_active(made["id"], True)["status"] == "OK"
assert admin.users.get_user(made["id"])["delete_at"] == 0
assert by_token.users.get_user("me")["id"] == made["id"]
done("deactivate and reactivate")

auth = admin.users.update_user_auth(made["id"], {"auth_service": "saml", "auth_data": "python-one"})
assert (auth["auth_service"], auth["auth_data"]) == ("saml", "python-one")
bound = admin.users.get_user_by_username("python.uno")
assert bound["auth_service"] == "saml"
assert bound["auth_data"] == ("" if OLD else "python-one")
fails(
    InvalidOrMissingParameters,
    "api.user.update_user_auth.invalid_request",
    admin.users.update_user_auth,
    made["id"],
    {"auth_service": "", "auth_data": ""},
)
fails(FeatureDisabled, "api.team.demote_user_to_guest.license.error", admin.users.demote_user_to_guest, made["id"])
done("auth")

# --- a bot and a team

fails(NotEnoughPermissions, "api.bot.create_disabled", admin.bots.create_bot, "python-bot", "Bot", "d")
admin.system.patch_config({"ServiceSettings": {"EnableBotAccountCreation": True}})
bot = admin.bots.create_bot("python-bot", "Bot", "d")
assert ID.match(bot["user_id"])
assert bot["owner_id"] == me["id"]
assert type(bot["create_at"]) is int
as_user = admin.users.get_user(bot["user_id"])
is_user(as_user)
assert as_user["is_bot"] is True
done("bot")

team = admin.teams.create_team("python-team", "Python", "O")
assert ID.match(team["id"])
member = admin.teams.add_team_member(team["id"], made["id"])
assert (member["team_id"], member["user_id"]) == (team["id"], made["id"])
assert type(member["delete_at"]) is int
both = sorted([made["id"], me["id"]])
assert sorted(m["user_id"] for m in admin.teams.get_team_members(team["id"])) == both
assert admin.teams.get_team_member(team["id"], made["id"])["roles"] == "team_user"
assert ids(admin.users.get_users(in_team=team["id"])) == both
done("team with a member")

assert type(admin.users.get_total_users_stats()["total_users_count"]) is int
assert admin.system.get_ping()["status"] == "OK"
done("server information")

admin.logout()
print(f"done {count}")
