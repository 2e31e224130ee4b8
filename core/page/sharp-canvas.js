/** Canvases of a report are drawn with at least twice the points of a screen, because it is printed, too. Imported before uPlot, which asks once. */
if (devicePixelRatio < 2) Object.defineProperty(globalThis, 'devicePixelRatio', { value: 2 });
