let waiting: (() => void)[] = []

// Kept from before a test replaces the timers.
const schedule = setImmediate

/** Resolves when the event loop has read what had arrived, for all that wait in this turn at once. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) schedule(release)
  })
}

function release(): void {
  const ready = waiting
  waiting = []
  for (const resolve of ready) resolve()
}
