import { randomUUID } from 'node:crypto'
import { createTransport } from 'nodemailer'
import type { Config } from './config.js'
import type { Db } from './database/database.js'
import type { Log } from './log.js'

export interface Mail {
  readonly to: string
  readonly subject: string
  readonly text: string
}

/** Sends through `SMTP_URL`; without it, emails appear on the mailbox page of development. */
export class Mailer {
  readonly #underway = new Set<Promise<void>>()
  readonly #deliver: (mail: Mail) => Promise<unknown>

  constructor(
    config: Config,
    db: Db,
    private readonly log: Log,
  ) {
    if (config.smtpURL) {
      const transport = createTransport(
        { url: config.smtpURL, connectionTimeout: 4000, socketTimeout: 4000 },
        { from: config.mailFrom },
      )
      this.#deliver = (mail) => transport.sendMail(mail)
    } else {
      // In the database and not in memory: with several processes the code may be read from another one.
      this.#deliver = ({ to, subject, text }) => {
        const row = { id: randomUUID(), at: new Date().toISOString(), recipient: to, subject, body: text }
        return db.insertInto('mails').values(row).execute()
      }
    }
  }

  /** Rejects if the email could not be handed over. */
  async send(mail: Mail): Promise<void> {
    await this.#deliver(mail)
  }

  /** Sends without making the request wait: the response time must not reveal whether an email was sent. */
  sendLater(mail: Mail): void {
    const sending = this.send(mail)
      .catch((error: Error) => this.log.error({ reason: error.message }, 'an email could not be sent'))
      .finally(() => this.#underway.delete(sending))
    this.#underway.add(sending)
  }

  /** Resolves when every email has been sent. */
  async drain(): Promise<void> {
    await Promise.all(this.#underway)
  }
}
