/** What is wrong with a value of a row; the row is skipped and counted. */
export class BadValue extends Error {}
