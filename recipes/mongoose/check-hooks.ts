import MongoStore from 'connect-mongo'
import mongoose from 'mongoose'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { defineModels } from './models'
import { testDatabase } from './test-database'

const connection = mongoose.createConnection(process.env.TEST_DATABASE_URL ?? '')

export default async function setup() {
  const models = defineModels(connection)
  await Promise.all([models.users.init(), models.confirmations.init()])
  const client = (await connection.asPromise()).getClient()
  const store = MongoStore.create({ client: client as never, stringify: false, autoRemove: 'disabled' })
  return {
    accounts: { ...accountHooks(models), claimAddress: claimAddress(models) },
    database: { ...testDatabase(models), sessions: sessionsInStore(store) },
  }
}

export const close = () => connection.close()
