import { expect, test } from 'vitest'
import { linkTo, parseRoute, subjectLink, subjectOf } from '../../../dashboards/console/router.ts'

test('a link leads to the page and the parameters that it was made of', () => {
  expect(parseRoute('')).toEqual({ page: '', parameters: {} })
  expect(parseRoute('#/trends')).toEqual({ page: 'trends', parameters: {} })
  expect(parseRoute(linkTo('trends', { quota: 'a & b?' }))).toEqual({ page: 'trends', parameters: { quota: 'a & b?' } })
})

test('a subject is found again, whatever its dimensions are called and hold', () => {
  const subject = { tenant: 'ä/&=#?', consumer: '', quota: 'a label that is called so' }
  expect(subjectOf(parseRoute(subjectLink('tokens', subject)))).toEqual({ quota: 'tokens', subject })
  expect(subjectOf(parseRoute(subjectLink('all', {})))).toEqual({ quota: 'all', subject: {} })
})
