import connectSessionSequelize from 'connect-session-sequelize'
import session from 'express-session'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { Sequelize } from 'sequelize'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { defineModels } from './models'
import { testDatabase } from './test-database'

const options = { dialect: 'mysql', define: { charset: 'utf8mb4' }, logging: false, pool: { max: 10 } } as const
const sequelize = new Sequelize(process.env.TEST_DATABASE_URL ?? '', options)

export default async function setup() {
  const models = defineModels(sequelize)
  const Store = connectSessionSequelize(session.Store)
  const store = new Store({ db: sequelize, checkExpirationInterval: -1 })
  await sequelize.sync()
  return {
    accounts: { ...accountHooks(models), claimAddress: claimAddress(models) },
    database: { ...testDatabase(models), sessions: sessionsInStore(store) },
  }
}

export const close = () => sequelize.close()
