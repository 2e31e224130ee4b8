/** The weight of the past in the bold lines of a report: none where there are few points. @param {{ steps: readonly number[] }} curves */
export function reportSmoothing({ steps }) {
  return steps.length < 30 ? 0 : 0.6;
}
