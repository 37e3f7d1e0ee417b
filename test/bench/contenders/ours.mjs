import { CLIENT, createBaseApp, SECRET } from './base-app.mjs'

/**
 * This package. With `startAhead` the start is mounted ahead of express-session; with `tenants` there are so many
 * connections, told apart by host name.
 *
 * @param {typeof import('../../../dist/index.mjs')} ourModule
 * @param {import('./base-app.mjs').Surroundings & { startAhead?: boolean, tenants?: number }} surroundings
 */
export function createApp({ bitbucketSignIn, connections }, { startAhead = false, tenants, ...surroundings }) {
  const { provider, origin } = surroundings
  const connection = {
    ...CLIENT,
    callbackURL: `${origin}/auth/bitbucket/callback`,
    trustedProvider: true,
    endpoints: { ...provider },
  }
  let bitbucket
  const create = (passport, users) => {
    bitbucket ??= bitbucketSignIn({
      passport,
      secrets: [SECRET],
      connection: tenants === undefined ? connection : connections(tenantOptions(connection, tenants)),
      accounts: accountHooks(users),
      sendEmailCode: () => {},
      limiter: 'memory',
    })
    return bitbucket
  }
  return createBaseApp(surroundings, {
    ahead(app, passport, users) {
      if (startAhead) app.get('/auth/bitbucket', create(passport, users).start)
    },
    behind(app, passport, users) {
      app.use('/auth/bitbucket', create(passport, users).router)
    },
  })
}

function accountHooks(users) {
  return {
    getUserByIdentity: ({ identity }) => users.byUuid.get(identity.id) ?? null,
    getAccountsByEmail: ({ email }) =>
      [...users.byId.values()]
        .filter((user) => user.email === email)
        .map((user) => ({ user, email, emailVerified: true })),
    createUser: ({ identity, profile, email }) =>
      users.create(identity.id, email?.address ?? null, profile.displayName),
    linkIdentity: ({ user, identity }) => void users.byUuid.set(identity.id, user),
    listIdentities: () => [],
    describeUser: ({ user }) => ({ label: user.name, email: user.email, emailVerified: true }),
  }
}

/** Each tenant brings its own credentials and its own callback on its own host. */
function tenantOptions(base, count) {
  const port = new URL(base.callbackURL).port
  const tenants = {}
  for (let number = 0; number < count; number++) {
    tenants[`t${number}`] = {
      ...base,
      clientID: `client-${number}`,
      clientSecret: `secret-of-client-${number}`,
      callbackURL: `http://t${number}.localhost:${port}/auth/bitbucket/callback`,
    }
  }
  return { tenants, tenant: (req) => req.hostname.split('.')[0] }
}
