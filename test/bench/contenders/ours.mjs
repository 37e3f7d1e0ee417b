import { CLIENT, createBaseApp, SECRET } from './base-app.mjs'

/**
 * This package. With `startAhead` the start is mounted before express-session; with `tenants` there are so many
 * connections, told apart by host name; with `sharedCounters` used callbacks are counted in PostgreSQL, as a site of
 * several processes needs it.
 *
 * @param {typeof import('../../../dist/index.mjs')} ourModule
 * @param {import('./base-app.mjs').Surroundings & { startAhead?: boolean, tenants?: number, sharedCounters?: boolean }} surroundings
 */
export function createApp(
  { bitbucketSignIn, connections },
  { startAhead = false, tenants, sharedCounters = false, ...surroundings },
) {
  const { provider, origin, store } = surroundings
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
      ...(tenants !== undefined && { tenantClients: 'ours' }),
      accounts: accountHooks(users),
      sendEmailCode: () => {},
      limiter: sharedCounters ? postgresLimiter(store.pool) : 'memory',
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

/** One statement for each count. */
function postgresLimiter(pool) {
  const table = pool.query('create table if not exists counts (key text primary key, count int, ends timestamptz)')
  return ({ keyPrefix, points, duration }) => ({
    async consume(key) {
      await table
      const { rows } = await pool.query(COUNT, [`${keyPrefix}:${key}`, duration])
      const answer = { consumedPoints: rows[0].count, msBeforeNext: rows[0].ends - Date.now() }
      if (answer.consumedPoints > points) throw answer
      return answer
    },
    get: async () => null,
  })
}

const COUNT = `
  insert into counts values ($1, 1, now() + $2 * interval '1 second')
  on conflict (key) do update set
    count = case when counts.ends < now() then 1 else counts.count + 1 end,
    ends = case when counts.ends < now() then excluded.ends else counts.ends end
  returning count, ends`

export function accountHooks(users) {
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
