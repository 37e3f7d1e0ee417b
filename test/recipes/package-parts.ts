export { uniqueViolation } from '../../src/accounts/unique-violation'
export { EmailTakenError, IdentityTakenError } from '../../src/contract/errors'
