// Talks to a Mattermost server through @mattermost/client and stops at the first
// answer that client's users could not work with. It prints a line per thing
// that was done; the test beside it starts the server and counts the lines.

import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {join} from 'node:path';

const {MM_URL, MM_LOGIN, MM_PASSWORD, MM_PROFILE, MM_INSTALLED} = process.env;
const {Client4} = createRequire(join(MM_INSTALLED, 'package.json'))('@mattermost/client');

const old = MM_PROFILE === '5.38';
const password = 'Node-Passw0rd-1!';

function connect() {
    const client = new Client4();
    client.setUrl(MM_URL);
    return client;
}

let count = 0;
function done(what) {
    count++;
    console.log(`ok ${count} ${what}`);
}

const idForm = /^[a-z0-9]{26}$/;

function isUser(user) {
    assert.match(user.id, idForm);
    for (const key of ['create_at', 'update_at', 'delete_at']) {
        assert.equal(typeof user[key], 'number', key);
        assert.ok(Number.isSafeInteger(user[key]), key);
    }
    for (const key of ['username', 'email', 'nickname', 'first_name', 'last_name', 'position', 'roles', 'locale', 'auth_service']) {
        assert.equal(typeof user[key], 'string', key);
    }
    assert.equal(typeof user.timezone.useAutomaticTimezone, 'string');
}

// fails requires the error as the client shows it to its users.
async function fails(call, status, id) {
    await assert.rejects(call, (err) => {
        assert.equal(err.constructor.name, 'ClientError');
        assert.equal(err.status_code, status);
        assert.equal(err.server_error_id, id);
        assert.equal(typeof err.message, 'string');
        assert.notEqual(err.message, '');
        return true;
    });
}

// --- who is there

const admin = connect();
const me = await admin.login(MM_LOGIN, MM_PASSWORD);
isUser(me);
assert.equal(me.username, MM_LOGIN);
assert.match(admin.getToken(), idForm);
assert.equal((await admin.getMe()).id, me.id);
assert.notEqual(admin.getServerVersion(), '');
done('login');

await fails(connect().login(MM_LOGIN, 'wrong'), 401, 'api.user.login.invalid_credentials_email_username');
await fails(connect().getMe(), 401, 'api.context.session_expired.app_error');
done('refused logins');

const listed = await admin.getProfiles(0, 200);
listed.forEach(isUser);
assert.ok(listed.some((user) => user.id === me.id));
assert.deepEqual(await admin.getProfiles(99, 200), []);
done('list');

// --- an account

const made = await admin.createUser({username: 'node.one', email: 'Node.One@example.test', password, first_name: 'Nö'}, '', '');
isUser(made);
assert.equal(made.email, 'node.one@example.test');
assert.equal(made.roles, 'system_user');
assert.equal(made.delete_at, 0);
done('create');

await fails(admin.createUser({username: 'node.one', email: 'other@example.test', password}, '', ''), 400, 'app.user.save.username_exists.app_error');
await fails(admin.createUser({username: 'node.two', email: 'node.one@example.test', password}, '', ''), 400, 'app.user.save.email_exists.app_error');
done('refused creations');

assert.equal((await admin.getUser(made.id)).username, 'node.one');
assert.equal((await admin.getUserByUsername('node.one')).id, made.id);
assert.equal((await admin.getUserByEmail('node.one@example.test')).id, made.id);
const byIDs = await admin.getProfilesByIds([made.id, me.id, 'a'.repeat(26)]);
assert.deepEqual(byIDs.map((user) => user.id).sort(), [made.id, me.id].sort());
byIDs.forEach(isUser);
assert.deepEqual((await admin.getProfilesByUsernames(['node.one', 'nobody.there'])).map((user) => user.id), [made.id]);
assert.deepEqual((await admin.searchUsers('node.one', {allow_inactive: true})).map((user) => user.id), [made.id]);
done('read by id, ids, username, usernames, e-mail and search');

await fails(admin.getUser('b'.repeat(26)), 404, 'app.user.missing_account.const');
await fails(admin.getUserByUsername('nobody.there'), 404, 'app.user.get_by_username.app_error');
await fails(admin.getUserByEmail('nobody@example.test'), 404, 'app.user.missing_account.const');
done('not found');

const patched = await admin.patchUser({id: made.id, nickname: 'One', position: 'Engineer', username: 'node.uno'});
isUser(patched);
assert.deepEqual([patched.nickname, patched.position, patched.username, patched.first_name], ['One', 'Engineer', 'node.uno', 'Nö']);
assert.ok(patched.update_at >= made.update_at);
done('patch');

assert.equal((await admin.updateUserRoles(made.id, 'system_user system_admin')).status, 'OK');
assert.deepEqual((await admin.getUser(made.id)).roles.split(' ').sort(), ['system_admin', 'system_user']);
assert.equal((await admin.updateUserRoles(made.id, 'system_user')).status, 'OK');
await fails(admin.updateUserRoles(made.id, 'system_nonsense'), 400, 'app.role.check_roles_exist.role_not_found');
done('roles');

// --- sessions and tokens

const person = connect();
await person.login('node.uno', password);
assert.equal((await person.getMe()).id, made.id);
await fails(person.updateUserRoles(made.id, 'system_user system_admin'), 403, 'api.context.permissions.app_error');
const sessions = await admin.getSessions(made.id);
assert.equal(sessions.length, 1);
assert.match(sessions[0].id, idForm);
assert.equal(typeof sessions[0].expires_at, 'number');
assert.equal((await admin.revokeAllSessionsForUser(made.id)).status, 'OK');
await fails(person.getMe(), 401, 'api.context.session_expired.app_error');
done('sessions revoked');

const token = await admin.createUserAccessToken(made.id, 'for the conformance test');
assert.match(token.id, idForm);
assert.match(token.token, idForm);
assert.equal(token.is_active, true);
const byToken = connect();
byToken.setToken(token.token);
assert.equal((await byToken.getMe()).id, made.id);
done('access token');

assert.equal((await admin.updateUserActive(made.id, false)).status, 'OK');
assert.ok((await admin.getUser(made.id)).delete_at > 0);
await fails(byToken.getMe(), 401, 'api.context.session_expired.app_error');
await fails(connect().login('node.uno', password), 401, 'api.user.login.inactive.app_error');
assert.equal((await admin.updateUserActive(made.id, true)).status, 'OK');
assert.equal((await admin.getUser(made.id)).delete_at, 0);
assert.equal((await byToken.getMe()).id, made.id);
done('deactivate and reactivate');

const auth = await admin.updateUserAuth(made.id, {auth_service: 'saml', auth_data: 'node-one'});
assert.deepEqual([auth.auth_service, auth.auth_data], ['saml', 'node-one']);
const bound = await admin.getUserByUsername('node.uno');
assert.equal(bound.auth_service, 'saml');
assert.equal(bound.auth_data, old ? '' : 'node-one');
await fails(admin.updateUserAuth(made.id, {auth_service: '', auth_data: ''}), 400, 'api.user.update_user_auth.invalid_request');
done('auth');

// --- a bot and a team

await fails(admin.createBot({username: 'node-bot', display_name: 'Bot', description: 'd'}), 403, 'api.bot.create_disabled');
await admin.patchConfig({ServiceSettings: {EnableBotAccountCreation: true}});
const bot = await admin.createBot({username: 'node-bot', display_name: 'Bot', description: 'd'});
assert.match(bot.user_id, idForm);
assert.equal(bot.owner_id, me.id);
assert.equal(typeof bot.create_at, 'number');
const asUser = await admin.getUser(bot.user_id);
isUser(asUser);
assert.equal(asUser.is_bot, true);
done('bot');

const team = await admin.createTeam({name: 'node-team', display_name: 'Node', type: 'O'});
assert.match(team.id, idForm);
const member = await admin.addToTeam(team.id, made.id);
assert.deepEqual([member.team_id, member.user_id], [team.id, made.id]);
assert.equal(typeof member.delete_at, 'number');
assert.deepEqual((await admin.getTeamMembers(team.id, 0, 60)).map((m) => m.user_id).sort(), [made.id, me.id].sort());
assert.equal((await admin.getTeamMember(team.id, made.id)).roles, 'team_user');
assert.deepEqual((await admin.getProfilesInTeam(team.id, 0, 60)).map((user) => user.id).sort(), [made.id, me.id].sort());
done('team with a member');

assert.equal(typeof (await admin.getTotalUsersStats()).total_users_count, 'number');
assert.equal((await admin.getClientLicenseOld()).IsLicensed, 'false');
assert.match((await admin.getClientConfig()).Version, /^[0-9]+\.[0-9]+\.[0-9]+$/);
done('server information');

await admin.logout();
console.log(`done ${count}`);
