import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  type Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

export interface User extends Model<InferAttributes<User>, InferCreationAttributes<User>> {
  id: CreationOptional<number>
  name: string | null
  email: string | null
  /** Lower case, set by the app: the same key on every database. */
  emailKey: string | null
  emailVerified: CreationOptional<boolean>
  /** `null`: signs in with Bitbucket only. */
  passwordHash: CreationOptional<string | null>
  suspended: CreationOptional<boolean>
  /** `false` after an unlink. */
  autoLink: CreationOptional<boolean>
}

export interface StoredIdentity
  extends Model<InferAttributes<StoredIdentity>, InferCreationAttributes<StoredIdentity>> {
  issuer: string
  /** Bitbucket's uuid; not `id`. */
  subject: string
  userId: number
  /** JSON */
  profile: string
  /** Sealed. */
  tokens: CreationOptional<string | null>
}

/** Confirmation links. Only apps that verify addresses have them. */
export interface EmailConfirmation
  extends Model<InferAttributes<EmailConfirmation>, InferCreationAttributes<EmailConfirmation>> {
  tokenHash: string
  userId: number
  emailKey: string
}

export interface Models {
  readonly sequelize: Sequelize
  readonly users: ModelStatic<User>
  readonly identities: ModelStatic<StoredIdentity>
  readonly confirmations: ModelStatic<EmailConfirmation>
}

const flag = (defaultValue: boolean) => ({ type: DataTypes.BOOLEAN, allowNull: false, defaultValue })
/** In MySQL's usual collations é equals e, and two addresses could be one. On other databases use `DataTypes.STRING(254)`. */
const ADDRESS_KEY = 'varchar(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin'

/** In migrations, use the same columns and key names. */
export function defineModels(sequelize: Sequelize): Models {
  const users = sequelize.define<User>(
    'users',
    {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      name: DataTypes.TEXT,
      email: DataTypes.STRING(254),
      emailKey: { type: ADDRESS_KEY, unique: 'users_email_lower_key' },
      emailVerified: flag(false),
      passwordHash: DataTypes.STRING,
      suspended: flag(false),
      autoLink: flag(true),
    },
    { timestamps: false },
  )
  const userId = {
    type: DataTypes.INTEGER,
    allowNull: false,
    references: { model: users, key: 'id' },
    onDelete: 'CASCADE' as const,
  }
  const identities = sequelize.define<StoredIdentity>(
    'identities',
    {
      issuer: { type: DataTypes.STRING, primaryKey: true },
      subject: { type: DataTypes.STRING(64), primaryKey: true },
      userId,
      profile: { type: DataTypes.TEXT, allowNull: false },
      tokens: DataTypes.TEXT('medium'),
    },
    { timestamps: false, indexes: [{ name: 'identities_one_per_user', unique: true, fields: ['userId', 'issuer'] }] },
  )
  const confirmations = sequelize.define<EmailConfirmation>(
    'email_confirmations',
    {
      tokenHash: { type: DataTypes.STRING(64), primaryKey: true },
      userId,
      emailKey: { type: ADDRESS_KEY, allowNull: false },
    },
    { timestamps: false },
  )
  return { sequelize, users, identities, confirmations }
}
