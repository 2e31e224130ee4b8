export default { name: 'test-components', provides: [] };
