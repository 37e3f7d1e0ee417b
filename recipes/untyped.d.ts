// These two have no types.
declare module 'better-sqlite3-session-store'
declare module 'express-mysql-session'
