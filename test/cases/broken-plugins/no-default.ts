export const reward = 1;
