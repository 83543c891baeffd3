/**
 * Has `say` told of what Node warns of, instead of having it printed. kafkajs computes timeouts that have passed already,
 * and Node warns of each process that does. Types are stripped of the console's modules by the function that Node itself
 * strips ours with; the exact version of Node is ours.
 */
export function hearWarnings(say: (name: string, message: string) => void): void {
  process.removeAllListeners('warning').on('warning', ({ name, message }) => {
    if (name !== 'TimeoutNegativeWarning' && !message.startsWith('stripTypeScriptTypes ')) say(name, message)
  })
}
