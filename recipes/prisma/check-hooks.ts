import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaSessionStore } from '@quixo3/prisma-session-store'
import { sessionsInStore } from 'passport-bitbucket-signin/testing'
import { accountHooks } from './accounts'
import { claimAddress } from './claim-address'
import { PrismaClient } from './generated/client'
import { testDatabase } from './test-database'

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.TEST_DATABASE_URL ?? '' }) })
const store = new PrismaSessionStore(prisma, {})

export default {
  accounts: { ...accountHooks(prisma), claimAddress: claimAddress(prisma) },
  database: { ...testDatabase(prisma), sessions: sessionsInStore(store) },
}

export const close = () => prisma.$disconnect()
