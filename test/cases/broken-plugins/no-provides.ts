export default { name: 'no-provides' };
