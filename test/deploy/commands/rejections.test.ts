import { expect, test } from 'vitest'
import { parseInvocation, UsageError } from '../../../deploy/command.ts'
import { command } from '../../../deploy/commands/rejections.ts'

test.each(['abc', '0', '', '201'])('--newest %j is told to be wrong before anybody is asked', async newest => {
  const run = command.run(parseInvocation(command, [`--newest=${newest}`]))
  await expect(run).rejects.toThrow(UsageError)
  await expect(run).rejects.toThrow(`--newest is a number from 1 to 200, not ${newest}`)
})
