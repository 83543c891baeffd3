/** Says which Node is missing, also to one that is so old that TypeScript would fail before its first line. */
import process from 'node:process'

const MAJOR_MIN = 24

if (Number.parseInt(process.versions.node, 10) < MAJOR_MIN) {
  process.stderr.write(
    `Quotacast needs Node ${MAJOR_MIN}, and this is ${process.version}: start it with \`npm start\` or ` +
      `\`npm run quotacast -- …\`, which on Linux (x64, arm64) bring their own; elsewhere install Node ${MAJOR_MIN}.\n`,
  )
  process.exit(2)
}
