// The kinds of services by their word. Apart so that problems and kinds name them without importing each other.

export type ServiceNoun = 'database' | 'cache';
