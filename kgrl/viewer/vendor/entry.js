export { default as Graph } from "graphology";
export { default as Sigma } from "sigma";
export { EdgeLineProgram } from "sigma/rendering";
export { createNodeBorderProgram } from "@sigma/node-border";
