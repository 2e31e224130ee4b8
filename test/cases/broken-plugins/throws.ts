throw new Error('out of paint');
