/** Pictures of what the dashboards show, drawn from their JSON and the answers that their statements get. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { answerBoard, openClickHouse } from './board-answers.ts'
import { BOARD_WIDTH, drawBoard } from './board-html.ts'
import { readBoards } from './board-json.ts'
import type { Demo } from './demo.ts'
import type { Prometheus } from './prometheus.ts'
import { toSmallPng } from './small-png.ts'

export async function pictureBoards(
  browser: Browser,
  { storeUrl, grafana }: Pick<Demo, 'storeUrl' | 'grafana'>,
  { dir, prometheus }: { dir: string; prometheus: Prometheus | null },
): Promise<void> {
  mkdirSync(dir, { recursive: true })
  const clickhouse = openClickHouse(storeUrl, grafana)
  const page = await browser.newPage({ viewport: { width: BOARD_WIDTH, height: 800 } })
  for (const [name, board] of readBoards()) {
    const answers = await answerBoard(board, { clickhouse, prometheus })
    await page.setContent(drawBoard(board, answers, Date.now()))
    writeFileSync(join(dir, `${name}.png`), toSmallPng(await page.screenshot({ fullPage: true })))
  }
  await page.close()
  await clickhouse.close()
}
