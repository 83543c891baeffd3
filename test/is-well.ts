/** Whether a role is there and ready, with nothing wrong. */
export async function isWell(url: string): Promise<boolean> {
  try {
    const { isReady, reasons } = await (await fetch(`${url}/readyz`)).json()
    return isReady && reasons.length === 0
  } catch {
    return false
  }
}
