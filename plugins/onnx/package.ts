/** The package that runs the models; whoever uses none of them need not have its 290 MB. */
export const onnxPackage = { name: 'onnxruntime-node', version: '1.30.0' } as const;

/** Its install script fetches libraries for CUDA, which are not used, from another host, and fails the installation where it cannot. */
export const installCommand = `ONNXRUNTIME_NODE_INSTALL=skip npm install ${onnxPackage.name}@${onnxPackage.version}`;
