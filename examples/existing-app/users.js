// Stands for your users table. Everything ends with the process.
const { randomUUID } = require('node:crypto')

const users = new Map()

module.exports = {
  get: (id) => users.get(id) ?? null,
  withEmail: (email) => [...users.values()].filter((user) => user.email?.toLowerCase() === email.toLowerCase()),
  add(fields) {
    const user = {
      id: randomUUID(),
      email: null,
      emailVerified: false,
      password: null,
      autoLink: true,
      identities: [],
      ...fields,
    }
    users.set(user.id, user)
    return user
  },
  withIdentity: ({ issuer, id }) =>
    [...users.values()].find((user) => user.identities.some((each) => each.issuer === issuer && each.id === id)) ??
    null,
}
