// All that the app adds for "Sign in with Bitbucket": the hooks on its own users, and the connection.
const { bitbucketSignIn, EmailTakenError, IdentityTakenError } = require('passport-bitbucket-signin')
const users = require('./users')

const accounts = {
  getUserByIdentity: ({ identity }) => users.withIdentity(identity),
  getUserById: ({ id }) => users.get(id),
  getAccountsByEmail: ({ email }) =>
    users
      .withEmail(email)
      .map((user) => ({ user, email: user.email, emailVerified: user.emailVerified, autoLink: user.autoLink })),

  createUser({ identity, email }) {
    if (users.withIdentity(identity)) throw new IdentityTakenError()
    if (email && users.withEmail(email.address).length > 0) throw new EmailTakenError()
    return users.add({ email: email?.address ?? null, emailVerified: email?.verified ?? false, identities: [identity] })
  },

  linkIdentity({ user, identity }) {
    if (users.withIdentity(identity)) throw new IdentityTakenError()
    users.get(user.id).identities.push(identity)
  },

  unlinkIdentity({ user: { id }, identity, remaining }) {
    const user = users.get(id)
    if (!user.password && remaining.length === 0) return 'last'
    user.identities = user.identities.filter((each) => each.id !== identity.id || each.issuer !== identity.issuer)
    user.autoLink = false
    return 'unlinked'
  },

  listIdentities: ({ user }) => users.get(user.id).identities,
  describeUser: ({ user }) => ({
    label: user.email ?? 'your account',
    email: user.email,
    emailVerified: user.emailVerified,
  }),

  endOtherSessions({ req, user }) {
    for (const [sid, content] of Object.entries(req.sessionStore.sessions))
      if (sid !== req.sessionID && JSON.parse(content).passport?.user === user.id) delete req.sessionStore.sessions[sid]
  },
}

module.exports = (passport, connection) =>
  bitbucketSignIn({
    passport,
    secrets: [process.env.BITBUCKET_COOKIE_SECRET],
    connection,
    accounts,
    // This app never verifies its users' addresses; it only stores them.
    policy: { localAddresses: 'unverified' },
    sendEmailCode: ({ to, code }) => console.log(`To ${to}: your code is ${code}`),
  })
